"""What the name and the header of a file tell of a photograph, before its pixels are decoded."""

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from d2sfm.errors import one_line
from d2sfm.tiff import check_tiff

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

# Pixels that a byte of a file makes at most; a damaged header may promise more, for which memory would be taken. The
# others store every pixel or its repetitions; deflate (PNG) makes 1032 bytes of one, and JPEG, too, stays below that.
# What TIFF may hold has no such bound.
_MOST_PIXELS_OF_A_BYTE = {
    "PPM": 8,
    "TGA": 64,
    "BMP": 128,
    "DIB": 128,
    "PNG": 8 * 1032,
    "JPEG": 8 * 1032,
    "MPO": 8 * 1032,
}

LONGEST_SHOWN = 120  # characters of an error of Pillow

_ORIENTATION = 0x0112  # tag of EXIF

_pillow_lock = threading.Lock()


def check_header(path: Path) -> tuple[int, int]:
    """Whether a file looks like a photograph that can be used, by its name and header alone.

    Returns (width, height) in pixels on COLMAP's grid. Safe to call from several threads. Whether the pixels are whole
    shows when they are decoded: see ``load_photograph``, which raises the same errors.
    """
    path = Path(path)
    with opened(path) as picture:
        return stored_size(picture)


def orientation(path: Path) -> int:
    """The EXIF orientation of a photograph, 1 to 8; 1 (as it is stored) also where it tells none. Raises as
    ``check_header``."""
    with opened(Path(path)) as picture:
        try:
            with pillow_settings():
                found = picture.getexif().get(_ORIENTATION, 1)
        except Exception:  # damaged EXIF, for which Pillow's reader raises what it likes
            return 1
    return found if found in range(1, 9) else 1


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture in a file, of which Pillow has read the header. ValueError as ``check_header``, and where the memory
    does not suffice for what is done with the picture."""
    _check_name(path)
    with named_memory_error(), _open_file(path) as stream, _open_with_pillow(stream, path.suffix) as picture:
        width, height = stored_size(picture)
        if width * height > MAX_PIXELS:
            raise ValueError(f"is {width} x {height} pixels, expected {MAX_PIXELS} or fewer in all")
        if not picture.tile:
            raise ValueError("is damaged or cut short: it has no pixels")
        file_bytes = os.fstat(stream.fileno()).st_size
        if width * height > file_bytes * _MOST_PIXELS_OF_A_BYTE.get(picture.format, MAX_PIXELS):
            raise ValueError(f"is damaged or cut short: {file_bytes} bytes can't hold {width} x {height} pixels")
        if picture.format == "TIFF":
            with named_damage(), path.open("rb") as again:
                check_tiff(again)
        yield picture


@contextmanager
def named_damage() -> Iterator[None]:
    """Pillow's readers raise what they like on damaged files: here it is a ValueError that says so."""
    try:
        yield
    except (MemoryError, UnidentifiedImageError):  # have names of their own
        raise
    except Exception as error:
        raise ValueError(f"is damaged or cut short: {one_line(error, LONGEST_SHOWN)}") from error


@contextmanager
def named_memory_error() -> Iterator[None]:
    """ValueError in place of MemoryError: a photograph is skipped, and the others are not."""
    try:
        yield
    except MemoryError as error:
        raise ValueError("takes more memory than there is") from error


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError("has a name that is not UTF-8, rename it") from error
    if path.suffix.lower() in RAW_SUFFIXES:
        raise ValueError(_unread("camera raw"))


def _open_file(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for a writer
            raise ValueError("cannot be opened: it is no regular file")
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
        with named_damage(), pillow_settings():
            picture = Image.open(stream)
    except UnidentifiedImageError as error:
        if suffix.lower() in UNREAD_SUFFIXES:
            raise ValueError(_unread(suffix[1:].upper())) from error
        raise ValueError("is not a picture, or of a kind that Pillow cannot read") from error
    if picture.format not in READ_FORMATS:
        raise ValueError(_unread(picture.format))
    return picture


def _unread(kind: str) -> str:
    return f"{'WebP' if kind == 'WEBP' else kind} is not read by COLMAP, convert it to JPEG or PNG"


def stored_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) before orientation: Pillow turns TIFF files, and no others, as they are opened."""
    if picture.format == "TIFF":
        return picture.tag_v2[256], picture.tag_v2[257]  # ImageWidth, ImageLength
    return picture.size


@contextmanager
def pillow_settings():
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
