"""Photographs on disk: which files they are, whether they can be used, and their pixels on COLMAP's grid.

COLMAP ignores EXIF orientation when it imports a photograph, so its cameras and keypoints belong to the pixels as
they are stored. Pillow decodes them, not COLMAP's reader: that one gives a half grey picture for a truncated JPEG and
says nothing, crashes or hangs on some damaged TIFF files, and holds Python's lock while it decodes.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from d2sfm.coordinates import Size
from d2sfm.files import read_text
from d2sfm.options import GreyRange
from d2sfm.photographs.headers import PHOTOGRAPH_SUFFIXES, decoded, named_damage
from d2sfm.text import counted, first_of, fits, is_among

logger = logging.getLogger(__name__)

WHITE = 65535  # of 16 bits
_STRIP_ROWS, _COUNTED_ROWS = 64, 512


def list_photographs(folder: Path) -> list[str]:
    """Names of the photographs below a folder, relative to it, with '/' between parts, sorted.

    A photograph is told by its suffix (in any case). Formats that COLMAP cannot read are listed too, so that
    ``check_photograph`` can report them; other files are passed over. Files without a suffix are logged. Raises as
    ``list_files``.
    """
    below = list_files(folder)
    if without_suffix := [name for name in below if not Path(name).suffix]:
        logger.warning("ignored, as their names have no suffix such as .jpg: %s", first_of(without_suffix, "file"))
    return [name for name in below if Path(name).suffix.lower() in PHOTOGRAPH_SUFFIXES]


def require_photographs(folder: Path) -> list[str]:
    """``list_photographs``; also ValueError if there are none."""
    names = list_photographs(folder)
    if not names:
        raise ValueError(f"{folder} holds no photographs (d2sfm prepare makes them from videos)")
    return names


def chosen_photographs(folder: Path, names: list[str], only: Sequence[str]) -> list[str]:
    """Those of a folder's photographs that the patterns ``only`` are for, see ``text.fits``; all without patterns.

    Raises ValueError for a pattern that is for none.
    """
    for pattern in only:
        if not any(fits(name, pattern) for name in names):
            raise ValueError(
                f"none of the {counted(len(names), 'photograph')} below {folder} matches {pattern!r} of --only"
            )
    return [name for name in names if is_among(only, name)]


def read_image_list(path: Path | str) -> list[str]:
    """The names or paths in a text file, one a line, in order and each once; blank lines are ignored.

    Raises FileNotFoundError if it is missing, ValueError if it is not text, or names nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image list at {path}")
    lines = read_text(path).split("\n")  # not splitlines: names may hold what Unicode counts as line ends
    names = list(dict.fromkeys(line for line in lines if line.strip()))
    if not names:
        raise ValueError(f"{path} names no photographs")
    return names


def list_files(folder: Path) -> list[str]:
    """Names of the files below a folder of photographs, relative to it, with '/' between parts, sorted.

    Files and folders with a leading dot are passed over. Links to folders are followed. Logged are a link that leads
    back to a folder which it lies in, and a subfolder that cannot be read.

    Raises FileNotFoundError if the folder is missing, ValueError if it is a file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"no such folder of photographs: {folder}")
    if not folder.is_dir():
        raise ValueError(f"expected a folder of photographs, found a file: {folder}")
    names = []
    for parent, subfolders, files in os.walk(folder, onerror=_log_unreadable_folder, followlinks=True):
        visible = [name for name in subfolders if not name.startswith(".")]
        subfolders[:] = [name for name in visible if not _leads_back(Path(parent, name), folder)]
        relative = Path(parent).relative_to(folder)
        names += [(relative / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(names)


def load_photograph(path: Path, size: Size | None = None, grey_range: GreyRange | None = None) -> np.ndarray:
    """The pixels of a photograph, [H, W, 3] uint8, RGB: see ``load_with_alpha``."""
    return load_with_alpha(path, size, grey_range)[0]


def load_with_alpha(
    path: Path, size: Size | None = None, grey_range: GreyRange | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check a photograph and decode it.

    size: the expected (width, height) in pixels, if known; what has another is not decoded. grey_range: of 16 bits,
    what becomes 0 and 255; beyond it values are clipped. Default: 0 to 65535.

    Returns [H, W, 3] uint8, RGB, the pixels that COLMAP's reader gives. EXIF orientation is ignored. Grey is repeated
    in three channels, 16 bits are scaled to 8, palettes and CMYK become RGB, colours under alpha stay as they are.
    Beside them [H, W] bool, where alpha is above 0; None if that is everywhere, or nowhere: some programs leave the
    channel empty. Needs the room of about two such arrays. Safe to call from several threads, which Pillow lets decode
    at the same time.

    Raises ValueError with the reason in one line (without the path) where the file cannot be used, a part of it is
    missing among others, FileNotFoundError if it is missing.
    """
    with decoded(Path(path), size) as (picture, deep, seen):
        _check_range(picture)
        with named_damage():
            return _pixels(picture, deep, grey_range or (0, WHITE)), seen


def count_greys(path: Path, size: Size | None = None) -> np.ndarray | None:
    """How often each value of 16 bits is in a photograph where alpha is above 0, of all its channels: [65536] int64.

    None for one of another depth. Raises as ``load_with_alpha``.
    """
    with decoded(Path(path), size) as (picture, deep, seen):
        _check_range(picture)
        if deep is None and not picture.mode.startswith("I"):
            return None
        values, counts = np.asarray(picture) if deep is None else deep, np.zeros(WHITE + 1, np.int64)
        for top in range(0, len(values), _COUNTED_ROWS):
            rows = slice(top, top + _COUNTED_ROWS)
            strip = values[rows] if seen is None else values[rows][seen[rows]]
            counts += np.bincount(strip.ravel(), minlength=WHITE + 1)
        return counts


def check_photograph(path: Path, size: Size | None = None) -> tuple[int, int]:
    """Whether a file can be used as a photograph, by decoding it; errors are those of ``load_photograph``.

    Call it before a file is given to COLMAP, which does not notice one that is cut short. Returns (width, height) in
    pixels on COLMAP's grid.
    """
    height, width, _ = load_photograph(path, size).shape
    return width, height


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether a link to a folder makes a circle, which is logged: a folder on the way from the root lies in it."""
    target, way = folder.resolve(), folder.parents[: len(folder.relative_to(root).parts)]
    if not folder.is_symlink() or not any(parent.resolve().is_relative_to(target) for parent in way):
        return False
    logger.warning("ignored: the link %s leads back to %s", folder, target)
    return True


def _log_unreadable_folder(error: OSError) -> None:
    logger.warning("ignored: folder %s", error)


def _check_range(picture: Image.Image) -> None:
    """COLMAP reads floating point as 0..1 and 32-bit integers over their whole range, which few files follow."""
    if picture.mode == "F":
        low, high = picture.getextrema()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"has floating-point pixels from {low:g} to {high:g}, expected 0 to 1")
    elif picture.format == "TIFF":
        if max(picture.tag_v2.get(258, (1,))) > 16:  # BitsPerSample
            raise ValueError("has 32-bit pixels, expected 8 or 16 bits")
        if 2 in picture.tag_v2.get(339, (1,)):  # SampleFormat
            raise ValueError("has signed pixels, expected numbers from 0")


def _pixels(picture: Image.Image, deep: np.ndarray | None, grey_range: GreyRange) -> np.ndarray:
    """[H, W, 3] uint8 of what ``decoded`` gives; in strips, as Pillow's own way takes three copies."""
    (width, height), (low, high) = picture.size, grey_range
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        strip = picture.crop((0, top, width, rows.stop))
        if deep is not None:
            pixels[rows] = _in_8_bits(deep[rows], low, high)
        elif picture.mode == "F":
            pixels[rows] = np.rint(np.asarray(strip) * 255)[..., None]
        elif picture.mode.startswith("I"):  # 16 bits
            pixels[rows] = _in_8_bits(np.asarray(strip), low, high)[..., None]
        else:
            pixels[rows] = np.asarray(strip.convert("RGB"))
    return pixels


def _in_8_bits(values: np.ndarray, low: int, high: int) -> np.ndarray:
    """Values of 16 bits, [...], as whole numbers from 0 to 255, float64."""
    if (low, high) == (0, WHITE):
        return np.rint(values / 257)
    return np.rint((np.clip(values, low, high).astype(np.float64) - low) * (255 / (high - low)))
