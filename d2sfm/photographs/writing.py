"""Pictures written as JPEG, PNG and others, with what EXIF tells of a photograph."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from d2sfm.coordinates import ORIENTATIONS
from d2sfm.files import replacing
from d2sfm.photographs.headers import pillow_settings

JPEG_SETTINGS = {"format": "JPEG", "quality": 95, "subsampling": 0}  # 0: colours as fine as brightness

ExifParts = tuple[Mapping, Mapping, Mapping]  # values by tag: of the picture, of the exposure, of the place

_BASE = ExifTags.Base
_KEPT_TAGS = (_BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.Software, _BASE.DateTime)
_KEPT_TAGS += (_BASE.Artist, _BASE.Copyright)
# Makers count bytes from where their notes were, which is elsewhere by now; and they may fill a JPEG's room for EXIF.
_LEFT_TAGS = (_BASE.MakerNote, ExifTags.IFD.Interop)


def write_image(target: Path, pixels: np.ndarray, **settings) -> None:
    """Write an array as Pillow's save does with these settings.

    Raises ValueError if the format can't hold it, OSError if the disk can't.
    """
    content = BytesIO()  # to tell the one from the other, which Pillow does not
    try:
        Image.fromarray(pixels).save(content, **settings)
    except OSError as error:
        raise ValueError(
            f"is {pixels.shape[1]} x {pixels.shape[0]} pixels, too large for {settings['format']}"
        ) from error
    with replacing(target) as stream:
        stream.write(content.getbuffer())


def exif_parts(exif: Image.Exif) -> ExifParts:
    """The parts of EXIF that Pillow has read."""
    return exif, exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)


def kept_exif(read: Callable[[], ExifParts]) -> Image.Exif:
    """What of EXIF a converted photograph keeps: what tells of its camera, lens, exposure, time, place and orientation.

    Nothing where it is damaged, as in ``read_header``.
    """
    kept = Image.Exif()
    try:
        with pillow_settings():
            found, exposure, place = read()
            for tag in _KEPT_TAGS:
                if tag in found:
                    kept[tag] = found[tag]
            if found.get(_BASE.Orientation) in ORIENTATIONS:
                kept[_BASE.Orientation] = found[_BASE.Orientation]
            for ifd, entries in ((ExifTags.IFD.Exif, exposure), (ExifTags.IFD.GPSInfo, place)):
                if entries:
                    kept[ifd] = {tag: value for tag, value in entries.items() if tag not in _LEFT_TAGS}
            kept.tobytes()
    except Exception:  # Pillow's reader and writer raise what they like
        return Image.Exif()
    return kept
