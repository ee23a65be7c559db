"""A picture on its way from a format that COLMAP does not read to JPEG or PNG, with what EXIF tells of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from d2sfm.coordinates import stored_array
from d2sfm.photographs.headers import pillow_settings
from d2sfm.photographs.writing import JPEG_SETTINGS, write_image


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


def saved_origin(path: Path) -> str | None:
    """The origin with which a picture was saved, None if it is another's."""
    try:
        with pillow_settings(), Image.open(path) as picture:
            comment = picture.info.get("comment")
    except OSError:  # it is not a picture
        return None
    return comment.decode(errors="replace") if isinstance(comment, bytes) else comment


def stored_picture(upright: np.ndarray, exif: Image.Exif, icc_profile: bytes | None = None) -> Picture:
    """A picture that a decoder has turned upright, turned back by EXIF's orientation to how its camera stored it.

    Like this the upright photographs and the others of a camera have one size, and can share its parameters.
    """
    pixels = stored_array(upright, exif.get(ExifTags.Base.Orientation, 1))
    return Picture(pixels=np.ascontiguousarray(pixels), exif=exif, icc_profile=icc_profile)
