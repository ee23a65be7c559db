"""One photograph without distortion, and its mask, written to disk."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from PIL import ExifTags

from d2sfm.coordinates import is_upright, upright_array
from d2sfm.files import replacing_file
from d2sfm.photographs.headers import has_16_bits, opened, read_header
from d2sfm.photographs.masks import Masks, joined
from d2sfm.photographs.reading import load_with_alpha
from d2sfm.photographs.writing import JPEG_SETTINGS, exif_parts, kept_exif, write_image
from d2sfm.undistortion.cameras import keeps_pixels
from d2sfm.undistortion.warp import undistorted

# By Pillow's names; a name keeps its suffix, and readers go by content.
_SETTINGS = {"MPO": JPEG_SETTINGS, "JPEG": JPEG_SETTINGS, "PNG": {"format": "PNG", "compress_level": 3}}
_SETTINGS["TIFF"] = {"format": "TIFF", "compression": "tiff_lzw"}
_WITH_ALPHA = {"PNG", "TIFF"}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """An image of a model: its name and camera there, and in the output."""

    image_id: int
    name: str
    new_name: str
    source: pycolmap.Camera
    target: pycolmap.Camera


def write_picture(
    shot: Shot, images: Path, output: Path, masks: Masks, *, has_alpha: bool = False, max_megapixels: float
) -> None:
    """Write ``output``/images/<new name>, without distortion, and before it ``output``/masks/<new name>.png.

    No mask is written if the whole photograph is in. has_alpha: the mask becomes the picture's alpha channel instead,
    with black under it. Colours become RGB of 8 bits. EXIF stays, with the orientation 1; pixels are those of the
    model: as stored, or upright if the camera's size shows that the model is of upright photographs. A picture whose
    pixels do not change is copied.

    Raises ValueError or FileNotFoundError if the photograph can't be used, other OSErrors where the disk fails.
    """
    source, target = images / shot.name, output / "images" / shot.new_name
    pixels, mask, is_turned = _load(shot, source, masks, max_megapixels)
    is_copied = not is_turned and _is_copied(shot, source) and (mask is None or not has_alpha)
    pixels, mask = undistorted(pixels, mask, shot.source, shot.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if mask is not None and not has_alpha:
        write_mask(mask_path(output, shot.new_name), mask)
    if is_copied:
        with replacing_file(target) as part:
            shutil.copyfile(source, part)
        return
    if mask is not None and has_alpha:
        alpha = np.where(mask, np.uint8(255), np.uint8(0))[..., None]
        pixels = np.concatenate([pixels & alpha, alpha], axis=2)
    _save(target, pixels, source)


def holds_alpha(path: Path) -> bool:
    """Whether a photograph's format, by its content, can have an alpha channel. Raises as ``read_header``."""
    with opened(path) as picture:
        return picture.format in _WITH_ALPHA


def mask_path(output: Path, new_name: str) -> Path:
    """Where the mask of a picture is, in COLMAP's layout."""
    return output / "masks" / f"{new_name}.png"


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write a mask, [H, W] bool: white is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.where(mask, np.uint8(255), np.uint8(0)), format="PNG")


def _load(shot: Shot, path: Path, masks: Masks, max_megapixels: float) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Pixels and mask in the model's frame, and whether that differs from the frame of the stored photograph."""
    stored, orientation = read_header(path, max_megapixels=max_megapixels)
    size = (shot.source.width, shot.source.height)
    is_turned = is_upright(size, stored, orientation)
    pixels, seen = load_with_alpha(path, stored if is_turned else size)
    mask = joined(seen, masks(shot.name, stored, orientation))
    if not is_turned:
        return pixels, mask, False
    return upright_array(pixels, orientation), None if mask is None else upright_array(mask, orientation), True


def _is_copied(shot: Shot, path: Path) -> bool:
    """Whether the file is what would be written of it, except for losses."""
    if not keeps_pixels(shot.source, shot.target) or read_header(path)[1] != 1 or has_16_bits(path):
        return False
    with opened(path) as picture:
        return picture.mode == "RGB" and picture.format in _SETTINGS


def _save(target: Path, pixels: np.ndarray, source: Path) -> None:
    with opened(source) as picture:
        settings = _SETTINGS.get(picture.format, {"format": picture.format})
        exif = kept_exif(lambda: exif_parts(picture.getexif()))
        is_rgb, profile = picture.mode.startswith("RGB"), picture.info.get("icc_profile")
    if pixels.shape[2] == 4 and settings["format"] not in _WITH_ALPHA:
        settings = _SETTINGS["PNG"]
    exif[ExifTags.Base.Orientation] = 1
    write_image(target, pixels, exif=exif, icc_profile=profile if is_rgb else None, **settings)
