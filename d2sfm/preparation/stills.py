"""Photographs that are pictures of some format: copied if COLMAP reads them, else decoded by Pillow."""

import filecmp
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from d2sfm.coordinates import ORIENTATIONS
from d2sfm.files import replacing
from d2sfm.photographs.headers import MAX_PIXELS, named_damage, named_memory_error, open_file, pillow_settings
from d2sfm.photographs.writing import exif_parts, kept_exif
from d2sfm.preparation.extras import require
from d2sfm.preparation.origin import not_of, read
from d2sfm.preparation.picture import Picture, stored_picture

_HEIF_SUFFIXES = {".heic", ".heif", ".hif"}


def copy(source: Path, target: Path) -> bool:
    """Copy a file, with its times, and return whether it was not there. ValueError if another one is."""
    if target.exists():
        if not filecmp.cmp(source, target):
            raise not_of(target)
        return False
    content, times = read(source), source.stat()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as stream:
        stream.write(content)
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    return True


def register_heif() -> None:
    """Let Pillow read HEIC, whatever the files are called, where pillow-heif is there."""
    with suppress(ValueError):
        require("pillow_heif", "phone").register_heif_opener()


def decode(path: Path) -> Picture:
    """The picture, or the first frame, in a file that Pillow reads. ValueError with the reason where it does not."""
    with named_memory_error(), open_file(path) as stream:
        try:
            with named_damage(), pillow_settings():
                found = Image.open(stream)
        except UnidentifiedImageError as error:
            if path.suffix.lower() in _HEIF_SUFFIXES:
                require("pillow_heif", "phone")
            if path.suffix.lower() == ".avif" and not features.check("avif"):
                raise ValueError('needs Pillow 11.3 or newer: pip install "d2sfm[phone]"') from error
            raise ValueError("is damaged, or has a format that Pillow can't read: save it as JPEG or PNG") from error
        if found.width * found.height > MAX_PIXELS:
            raise ValueError(f"is {found.width} x {found.height} pixels, expected {MAX_PIXELS} or fewer in all")
        with named_damage():
            found.load()
            pixels, profile = _pixels(found), found.info.get("icc_profile")
        exif = kept_exif(lambda: exif_parts(found.getexif()))
        if found.format != "HEIF":
            return Picture(pixels=pixels, exif=exif, icc_profile=profile)
        if found.info["original_orientation"] in ORIENTATIONS:  # the decoder has turned the picture, and reset its tag
            exif[ExifTags.Base.Orientation] = found.info["original_orientation"]
        return stored_picture(pixels, exif, profile)


def _pixels(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits of grey
        return np.asarray(picture).astype(np.uint16)
    if picture.has_transparency_data:
        with_alpha = np.asarray(picture.convert("RGBA"))
        if with_alpha[..., 3].min() < 255:
            return with_alpha
    return np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))
