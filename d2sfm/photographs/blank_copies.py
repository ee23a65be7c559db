"""Black copies of photographs for COLMAP's import.

It decodes every photograph on one core only to learn its size and its metadata. A blank copy has the same size and
metadata, is read in a fraction of the time, and keeps damaged pixels away from COLMAP, which may accept them, crash or
hang.
"""

from pathlib import Path

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from d2sfm.photographs.headers import named_damage, opened, pillow_settings, stored_size


def write_blank_copy(source: Path, target: Path) -> None:
    """Write a black PNG with the size of a photograph, in which COLMAP's import finds the same metadata.

    COLMAP goes by the content, not by the suffix of target. Raises as ``read_header``.
    """
    with opened(Path(source)) as picture:
        with named_damage(), pillow_settings():
            options = _metadata(picture)
        Image.new("1", stored_size(picture)).save(target, "PNG", compress_level=1, **options)


def _metadata(picture: Image.Image) -> dict:
    """EXIF, XMP and texts as options of Pillow's save."""
    texts, exif, xmp = PngInfo(), _exif(picture), picture.info.get("xmp")
    if picture.format == "PNG":  # COLMAP reads EXIF in texts, too, where they stand before the pixels
        for key, text in picture.info.items():
            if isinstance(text, str):
                texts.add_text(key, text)
        return {"pnginfo": texts, "exif": exif}
    if exif:  # before XMP, in the order in which COLMAP reads them in JPEG and TIFF: the last has its way
        texts.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n")
    if xmp:
        xmp = xmp if isinstance(xmp, str) else bytes(xmp).decode(errors="replace")
        texts.add_itxt("XML:com.adobe.xmp", xmp)
    return {"pnginfo": texts}


def _exif(picture: Image.Image) -> bytes:
    if picture.format != "TIFF":
        return picture.info.get("exif", b"")
    found, exif = picture.getexif(), Image.Exif()  # of a TIFF, its layout of pixels is among them
    for tag in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Orientation):
        if tag in picture.tag_v2 and _is_writable({tag: picture.tag_v2[tag]}):
            exif[tag] = picture.tag_v2[tag]
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        entries = {key: each for key, each in found.get_ifd(tag).items() if _is_writable({tag: {key: each}})}
        if entries:
            exif[tag] = entries
    return exif.tobytes()


def _is_writable(values: dict) -> bool:
    """Whether Pillow can write values of EXIF by tag: not those of a type that is not their tag's, which it reads."""
    exif = Image.Exif()
    exif.update(values)
    try:
        exif.tobytes()
    except Exception:  # Pillow's writer raises what it likes
        return False
    return True
