"""Photographs on disk: which files they are, whether they can be used, and their pixels on COLMAP's grid.

COLMAP ignores EXIF orientation when it imports a photograph, so its cameras and keypoints belong to the pixels as
they are stored. Pixels are therefore read with pycolmap's own reader. Pillow only checks that a file is whole:
pycolmap gives a half grey picture for a truncated JPEG and says nothing.
"""

import logging
import os
import threading
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pycolmap
from PIL import Image, UnidentifiedImageError

logger = logging.getLogger(__name__)

READ_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff"),
    *(".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
}
# Camera raw files are TIFF inside: COLMAP and Pillow would take the thumbnail in them for the photograph.
RAW_SUFFIXES = {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
UNREAD_SUFFIXES = {".webp", ".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".qoi"}
PHOTOGRAPH_SUFFIXES = READ_SUFFIXES | RAW_SUFFIXES | UNREAD_SUFFIXES

READ_FORMATS = {"JPEG", "MPO", "PNG", "TIFF", "BMP", "DIB", "PPM", "TGA"}  # Pillow's names

# COLMAP counts the bytes of a picture with a signed 32-bit integer. Beyond it, its reader overruns its buffer.
MAX_PIXELS = (2**31 - 1) // 3

_pillow_lock = threading.Lock()


def list_photographs(folder: Path) -> list[str]:
    """Names of the photographs below a folder, relative to it, with '/' between parts, sorted.

    A photograph is told by its suffix (in any case). Formats that COLMAP cannot read are listed too, so that
    ``check_photograph`` can report them; other files, and files and folders with a leading dot, are passed over.
    Links to folders are not followed, as in COLMAP's import. A subfolder that cannot be read is logged.

    Raises FileNotFoundError where there is no such folder, ValueError where it is a file.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"no such folder of photographs: {folder}")
    if not folder.is_dir():
        raise ValueError(f"expected a folder of photographs, found a file: {folder}")
    names = []
    for parent, subfolders, files in os.walk(folder, onerror=_log_unreadable_folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        relative = Path(parent).relative_to(folder)
        names += [(relative / name).as_posix() for name in files if _is_photograph_name(name)]
    return sorted(names)


def check_photograph(path: Path) -> tuple[int, int]:
    """Whether a file can be used as a photograph: decodes it with Pillow and with pycolmap.

    Call it before ``read_photograph`` and before a file is imported into a database: neither notices a file that is
    cut short. Safe to call from several threads. Returns (width, height) in pixels on COLMAP's grid.

    Raises ValueError with the reason in one line (without the path) where the file cannot be used,
    FileNotFoundError where there is none.
    """
    path = Path(path)
    _check_name(path)
    with _open_file(path) as stream, _open_with_pillow(stream, path.suffix) as picture:
        size = _stored_size(picture)
        if size[0] * size[1] > MAX_PIXELS:
            raise ValueError(f"is {size[0]} x {size[1]} pixels, expected {MAX_PIXELS} or fewer in all")
        _load_with_pillow(picture)
        _check_range(picture)
        _check_with_colmap(path, picture, size)
    return size


def read_photograph(path: Path) -> np.ndarray:
    """Pixels of a photograph on COLMAP's grid: [H, W, 3] uint8, RGB. EXIF orientation is ignored.

    Grey is repeated in three channels, 16 bits are scaled to 8, palettes and CMYK become RGB, an alpha channel is
    dropped and the colours under it stay as they are. Whether the file is whole is not checked here.

    Raises FileNotFoundError where there is no file, ValueError where COLMAP cannot read it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such photograph: {path}")
    bitmap = pycolmap.Bitmap.read(path, as_rgb=True)
    if bitmap is None:
        raise ValueError(f"expected a picture that COLMAP can read, found {path}")
    return bitmap.to_array()


def _is_photograph_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in PHOTOGRAPH_SUFFIXES


def _log_unreadable_folder(error: OSError) -> None:
    logger.warning("folder passed over: %s", error)


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError("has a name that is not UTF-8, rename it") from error
    if path.suffix.lower() in RAW_SUFFIXES:
        raise ValueError(_unread("camera raw"))


def _open_file(path: Path) -> BinaryIO:
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        if path.is_symlink():
            raise ValueError("is a link to a file that does not exist") from error
        raise
    except OSError as error:
        raise ValueError(f"cannot be opened: {error.strerror}") from error
    if not stream.peek(1):
        stream.close()
        raise ValueError("is an empty file")
    return stream


def _open_with_pillow(stream: BinaryIO, suffix: str) -> Image.Image:
    try:
        with _pillow_settings():
            picture = Image.open(stream)
    except UnidentifiedImageError as error:
        if suffix.lower() in UNREAD_SUFFIXES:
            raise ValueError(_unread(suffix[1:].upper())) from error
        raise ValueError("is not a picture, or of a kind that Pillow cannot read") from error
    except Exception as error:  # Pillow's readers raise what they like on a damaged header
        raise ValueError(f"is damaged or cut short: {error}") from error
    if picture.format not in READ_FORMATS:
        raise ValueError(_unread(picture.format))
    return picture


def _unread(kind: str) -> str:
    return f"{'WebP' if kind == 'WEBP' else kind} is not read by COLMAP, convert it to JPEG or PNG"


def _load_with_pillow(picture: Image.Image) -> None:
    # A JPEG is decoded at an eighth of its size: every byte is still read, in half of the time and little memory.
    picture.draft(None, (1, 1))
    try:
        # Of the formats that COLMAP reads, only TIFF looks at Pillow's settings again while it loads.
        with _pillow_settings() if picture.format == "TIFF" else nullcontext():
            picture.load()
    except Exception as error:  # as above
        raise ValueError(f"is damaged or cut short: {error}") from error


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) before orientation: Pillow turns TIFF files, and no others, as they are opened."""
    if picture.format == "TIFF":
        return picture.tag_v2[256], picture.tag_v2[257]  # ImageWidth, ImageLength
    return picture.size


def _check_range(picture: Image.Image) -> None:
    """COLMAP reads floating point as 0..1 and 32-bit integers over their whole range, which few files follow."""
    if picture.mode == "F":
        low, high = picture.getextrema()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"has floating-point pixels from {low:g} to {high:g}, expected 0 to 1")
    elif picture.format == "TIFF" and max(picture.tag_v2.get(258, (1,))) > 16:  # BitsPerSample
        raise ValueError("has 32-bit pixels, expected 8 or 16 bits")


def _check_with_colmap(path: Path, picture: Image.Image, size: tuple[int, int]) -> None:
    bitmap = pycolmap.Bitmap.read(path, as_rgb=True)
    if bitmap is None:
        raise ValueError(
            f"is a {picture.format} file of a kind that COLMAP cannot read, convert it to JPEG or 8-bit PNG"
        )
    if (bitmap.width, bitmap.height) != size:
        raise ValueError(f"is {bitmap.width} x {bitmap.height} pixels for COLMAP, {size[0]} x {size[1]} for Pillow")
    # COLMAP says nothing where decoding fails half-way, and gives black pixels: a TIFF compression that it lacks
    # (zstd, for example), or a damaged PNG that Pillow forgives.
    if not bitmap.to_array().any() and picture.convert("RGB").getbbox():
        raise ValueError(f"is a {picture.format} file of which COLMAP reads black pixels only, save it anew as PNG")


@contextmanager
def _pillow_settings():
    """No warnings of Pillow, and no limit to the size of a picture: photographs of 200 megapixels are real.

    Both are global, so they are changed by one thread at a time and put back at once.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
