"""Camera raw, developed by LibRaw."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from d2sfm.photographs.headers import named_memory_error
from d2sfm.preparation.extras import require
from d2sfm.preparation.origin import read
from d2sfm.preparation.picture import Picture, kept_exif, stored_picture

_TIFF_STARTS = {b"II": b"II*\0", b"MM": b"MM\0*"}


def decode(path: Path) -> Picture:
    """The photograph in a file of camera raw, in the white balance that the camera chose.

    Raises ValueError with the reason where rawpy is missing or can't read the file.
    """
    rawpy = require("rawpy", "raw")
    content = read(path)
    try:
        with named_memory_error(), rawpy.imread(BytesIO(content)) as raw:
            upright = raw.postprocess(use_camera_wb=True)
            is_tiff = content[:2] in _TIFF_STARTS
            exif = kept_exif(lambda: _exif_of_tiff(content) if is_tiff else _exif_of_preview(rawpy, raw))
    except rawpy.LibRawError as error:
        words = error.args[0].decode(errors="replace").lower()
        raise ValueError(f"is damaged, or no camera raw that LibRaw knows: {words}") from error
    return stored_picture(upright, exif)


def _exif_of_tiff(content: bytes) -> Image.Exif:
    """Of DNG and most makers' own formats: TIFF, some but for their third and fourth byte."""
    exif = Image.Exif()
    exif.load_from_fp(BytesIO(_TIFF_STARTS[content[:2]] + content[4:]))
    return exif


def _exif_of_preview(rawpy, raw) -> Image.Exif:
    """Of the others (CR3, RAF): of their JPEG preview, which LibRaw gives EXIF where it has none."""
    preview = raw.extract_thumb()
    if preview.format is not rawpy.ThumbFormat.JPEG:
        return Image.Exif()
    with Image.open(BytesIO(preview.data)) as picture:
        return picture.getexif()
