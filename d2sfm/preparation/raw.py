"""Camera raw, developed by LibRaw."""

import struct
from io import BytesIO
from pathlib import Path

from PIL import Image

from d2sfm.photographs.headers import named_memory_error
from d2sfm.photographs.writing import ExifParts, exif_parts, kept_exif
from d2sfm.preparation.extras import require
from d2sfm.preparation.origin import read
from d2sfm.preparation.picture import Picture, stored_picture

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
    except rawpy.LibRawError as error:
        words = error.args[0].decode(errors="replace").lower()
        raise ValueError(f"is damaged, or not a camera raw file known to LibRaw: {words}") from error
    return stored_picture(upright, kept_exif(lambda: _exif(content)))


def _exif(content: bytes) -> ExifParts:
    """Metadata from the file itself: LibRaw drops most of it, and mixes up hemispheres."""
    if content[:2] in _TIFF_STARTS:  # DNG and most makers' own, some of which change the number in the third byte
        return exif_parts(_tiff(_TIFF_STARTS[content[:2]] + content[4:]))
    if content[4:12] == b"ftypcrx ":  # CR3: a box with a TIFF for each part
        return tuple(_tiff(_box(content, name)) for name in (b"CMT1", b"CMT2", b"CMT4"))
    if content.startswith(b"FUJIFILM"):  # RAF: that of the JPEG in it
        [start] = struct.unpack_from(">I", content, 84)
        with Image.open(BytesIO(content[start:])) as preview:
            return exif_parts(preview.getexif())
    return {}, {}, {}


def _tiff(content: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load_from_fp(BytesIO(content))
    return exif


def _box(content: bytes, name: bytes) -> bytes:
    start = content.index(name)  # after the box's length, which counts both
    [length] = struct.unpack_from(">I", content, start - 4)
    return content[start + 4 : start - 4 + length]
