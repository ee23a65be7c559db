"""A picture on its way from a format that COLMAP does not read to JPEG or PNG, with what EXIF tells of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from d2sfm.coordinates import ORIENTATIONS, stored_array
from d2sfm.files import replacing
from d2sfm.photographs.headers import pillow_settings

JPEG_SETTINGS = {"format": "JPEG", "quality": 95, "subsampling": 0}  # 0: colours as fine as brightness

ExifParts = tuple[Mapping, Mapping, Mapping]  # values by tag: of the picture, of the exposure, of the place

_BASE = ExifTags.Base
_KEPT_TAGS = (_BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.Software, _BASE.DateTime)
_KEPT_TAGS += (_BASE.Artist, _BASE.Copyright)
# Makers count bytes from where their notes were, which is elsewhere by now; and they may fill a JPEG's room for EXIF.
_LEFT_TAGS = (_BASE.MakerNote, ExifTags.IFD.Interop)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """pixels: [H, W] uint8 or uint16, or [H, W, 3 or 4] uint8, as they are stored where EXIF's orientation is."""

    pixels: np.ndarray
    exif: Image.Exif
    icc_profile: bytes | None = None

    @property
    def suffix(self) -> str:
        """.jpg, or .png where JPEG would lose alpha or bits."""
        return ".jpg" if self.pixels.dtype == np.uint8 and self.pixels.shape[2:] in ((), (3,)) else ".png"

    def save(self, target: Path, origin: str) -> None:
        """Write JPEG or PNG, by the suffix. origin: kept as a comment, for ``saved_origin``."""
        settings = JPEG_SETTINGS | {"comment": origin}
        if target.suffix == ".png":
            texts = PngInfo()
            texts.add_text("comment", origin)
            settings = {"format": "PNG", "pnginfo": texts}
        write_image(target, self.pixels, exif=self.exif, icc_profile=self.icc_profile, **settings)


def write_image(target: Path, pixels: np.ndarray, **settings) -> None:
    """Write an array as Pillow's save does with these settings.

    Raises ValueError where the format can't hold it, OSError where the disk can't.
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


def saved_origin(path: Path) -> str | None:
    """The origin with which a picture was saved, None where it is another's."""
    try:
        with pillow_settings(), Image.open(path) as picture:
            comment = picture.info.get("comment")
    except OSError:  # it is no picture
        return None
    return comment.decode(errors="replace") if isinstance(comment, bytes) else comment


def stored_picture(upright: np.ndarray, exif: Image.Exif, icc_profile: bytes | None = None) -> Picture:
    """A picture that a decoder has turned upright, turned back by EXIF's orientation to how its camera stored it.

    Like this the upright photographs and the others of a camera have one size, and can share its parameters.
    """
    pixels = stored_array(upright, exif.get(_BASE.Orientation, 1))
    return Picture(pixels=np.ascontiguousarray(pixels), exif=exif, icc_profile=icc_profile)


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
