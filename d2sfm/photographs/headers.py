"""What the name and the header of a file tell about a photograph, before its pixels are decoded."""

import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from d2sfm.coordinates import ORIENTATIONS, Size, stored_array
from d2sfm.files import ALWAYS_UNPACKED
from d2sfm.photographs.alpha import seen_pixels
from d2sfm.text import one_line

READ_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff"),
    *(".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
}
# Camera raw files are TIFF inside: COLMAP and Pillow would take the thumbnail in them for the photograph.
RAW_SUFFIXES = {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
UNREAD_SUFFIXES = {".webp", ".gif", ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".qoi"}
PHOTOGRAPH_SUFFIXES = READ_SUFFIXES | RAW_SUFFIXES | UNREAD_SUFFIXES

READ_FORMATS = {"JPEG", "MPO", "PNG", "TIFF", "BMP", "PPM", "TGA"}  # Pillow's names
# With a compression of which COLMAP makes black pixels, crashes or hangs; "tiff_jpeg" is what TIFF gave up for "jpeg".
_UNREAD_TIFFS = {"TIFF, zstd", "TIFF, webp", "TIFF, tiff_jpeg"}

# COLMAP counts the bytes of a picture with a signed 32-bit integer. Beyond it, its reader overruns its buffer.
MAX_PIXELS = (2**31 - 1) // 3

# Pixels that a byte of a file makes at most; a damaged header may promise more, for which memory would be taken. The
# others store every pixel or its repetitions; deflate (PNG) makes 1032 bytes of one, and JPEG, too, stays below that.
# What a TIFF with compression may hold has no such bound.
_MOST_PIXELS_OF_A_BYTE = {
    "PPM": 8,
    "TGA": 64,
    "BMP": 128,
    "PNG": 8 * 1032,
    "JPEG": 8 * 1032,
    "MPO": 8 * 1032,
    "TIFF, raw": 8,
}

_COLOURS = {"RGB", "RGBA", "LA"}  # Pillow's modes of which OpenCV reads 16 bits

LONGEST_SHOWN = 120  # characters of an error of Pillow

_pillow_lock = threading.Lock()


class UnreadFormat(ValueError):
    """A picture of a format that COLMAP does not read; it may also be damaged."""


def read_header(path: Path, size: Size | None = None, max_megapixels: float = math.inf) -> tuple[Size, int]:
    """Size and EXIF orientation of a photograph that can be used, by its name and header alone.

    size: the expected (width, height) in pixels, if known; max_megapixels: see PhotographOptions.

    Returns (width, height) in pixels on COLMAP's grid, and 1 to 8; 1 (as it is stored) also if there is none. Safe to
    call from several threads. Whether the pixels are whole shows when they are decoded: see ``load_photograph``, which
    raises the same errors.
    """
    with opened(Path(path), size) as picture:
        _check_megapixels(picture, max_megapixels)
        try:
            with pillow_settings():  # of a PNG, Pillow decodes all pixels to see what comes after them
                found = picture.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # damaged EXIF, for which Pillow's reader raises what it likes
            found = 1
        return stored_size(picture), int(found) if found in ORIENTATIONS else 1  # in odd files 6.0


def read_size(path: Path, max_megapixels: float = math.inf) -> Size:
    """(width, height) alone, as ``read_header``."""
    with opened(Path(path)) as picture:
        _check_megapixels(picture, max_megapixels)
        return stored_size(picture)


def _check_megapixels(picture: Image.Image, most: float) -> None:
    width, height = stored_size(picture)
    if width * height > most * 1e6:
        raise ValueError(
            f"is {width} x {height} px, {width * height / 1e6:.3g} megapixels: --max-megapixels allows {most:g}"
        )


@contextmanager
def opened(path: Path, size: Size | None = None) -> Iterator[Image.Image]:
    """The picture in a file, of which Pillow has read the header. ValueError as ``read_header``, if it has another size
    than expected, and if memory does not suffice for the picture."""
    if path.suffix.lower() in RAW_SUFFIXES:
        raise _unread("camera raw")
    with named_memory_error(), open_file(path) as stream, _open_with_pillow(stream, path.suffix) as picture:
        width, height = stored_size(picture)
        if size is not None and (width, height) != tuple(size):
            raise ValueError(f"is {width} x {height} px, expected {size[0]} x {size[1]} px")
        if width * height > MAX_PIXELS:
            raise ValueError(f"is {width} x {height} pixels, expected {MAX_PIXELS} or fewer in all")
        if not picture.tile:
            raise ValueError("is damaged or cut short: it has no pixels")
        file_bytes = os.fstat(stream.fileno()).st_size
        kind = f"TIFF, {picture.info['compression']}" if picture.format == "TIFF" else picture.format
        if kind in _UNREAD_TIFFS:
            raise ValueError("is a TIFF file with a compression that COLMAP can't read: save it as PNG")
        if width * height > file_bytes * _MOST_PIXELS_OF_A_BYTE.get(kind, MAX_PIXELS):
            raise ValueError(f"is damaged or cut short: {file_bytes} bytes are too few for {width} x {height} pixels")
        if tuple(picture.tile[-1][1][2:]) != (width, height):  # of a TIFF: the rest would be black
            raise ValueError("is damaged or cut short: it has too few strips or tiles")
        yield picture


class Decoded(NamedTuple):
    """A whole picture, not turned."""

    picture: Image.Image  # without "transparency" in its info
    deep: np.ndarray | None  # [H, W, 3] uint16, RGB: colours of 16 bits, of which the picture has the high bytes alone
    seen: np.ndarray | None  # [H, W] bool: where alpha is above 0; None if that is everywhere, or nowhere


@contextmanager
def decoded(path: Path, size: Size | None = None) -> Iterator[Decoded]:
    """The whole picture in a file. Raises as ``opened``, and if a part is missing or damaged."""
    with opened(path, size) as picture:
        if picture.format == "PNG":  # broken chunks, of which COLMAP makes black pixels, are forgiven by load()
            with opened(path) as again, named_damage():
                again.verify()
        is_tiff, raw_mode = picture.format == "TIFF", str(picture.tile[0][3])
        # Of the formats that are read, only TIFF looks at Pillow's settings again while it loads, and turns pictures.
        with named_damage(), pillow_settings() if is_tiff else nullcontext():
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) if is_tiff else 1
            picture.load()
            if turned != 1:
                picture.getexif()[ExifTags.Base.Orientation] = {6: 8, 8: 6}.get(turned, turned)
                ImageOps.exif_transpose(picture, in_place=True)
        transparency = picture.info.pop("transparency", None)  # of which Pillow would warn, of some
        deep = _deep_colours(path, picture.size, turned) if _has_deep_colours(picture, raw_mode) else None
        yield Decoded(picture, deep, seen_pixels(picture, deep, transparency, raw_mode))


def has_16_bits(path: Path) -> bool:
    """Whether a photograph has values of 16 bits, by its header. Raises as ``read_header``."""
    with opened(Path(path)) as picture:
        return picture.mode.startswith("I") or _has_deep_colours(picture, str(picture.tile[0][3]))


def _has_deep_colours(picture: Image.Image, raw_mode: str) -> bool:
    return "16" in raw_mode and picture.mode in _COLOURS and picture.format in ("PNG", "TIFF")


def _deep_colours(path: Path, size: tuple[int, int], turned: int) -> np.ndarray:
    """turned: the orientation in a TIFF file, 1 of other formats."""
    import cv2  # slow to import, and rarely needed

    with named_damage():
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is not None and turned != 1 and turned in ORIENTATIONS and _opencv_turns():
        pixels = stored_array(pixels, turned)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[:2] != size[::-1] or pixels.ndim != 3:
        raise ValueError("is damaged: OpenCV can't read it")
    return pixels[..., 2::-1]


@cache
def _opencv_turns() -> bool:
    """Whether OpenCV turns TIFF files upright where it should leave pixels unchanged: it depends on its version."""
    import cv2

    stream, mirrored = BytesIO(), Image.Exif()
    mirrored[ExifTags.Base.Orientation] = 2
    Image.fromarray(np.array([[0, 1]], np.uint16)).save(stream, "TIFF", exif=mirrored)
    return bool(cv2.imdecode(np.frombuffer(stream.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)[0, 0] == 1)


@contextmanager
def named_damage() -> Iterator[None]:
    """Pillow's readers raise many kinds of errors on damaged files: here they become a ValueError."""
    try:
        yield
    except (MemoryError, UnidentifiedImageError):  # have names of their own
        raise
    except Exception as error:
        raise ValueError(f"is damaged or cut short: {one_line(error, LONGEST_SHOWN)}") from error


@contextmanager
def named_memory_error() -> Iterator[None]:
    """ValueError instead of MemoryError, so that only this photograph is skipped."""
    try:
        yield
    except MemoryError as error:
        raise ValueError("needs more memory than this machine has") from error


def open_file(path: Path) -> BinaryIO:
    """A file that should hold a picture, for reading. ValueError if there is nothing to read, or COLMAP could not by
    its name, FileNotFoundError if it is missing."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError("has a name that is not UTF-8: rename it") from error
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for a writer
            raise ValueError("cannot be opened: it is not a regular file")
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
            raise _unread(suffix[1:].upper()) from error
        raise ValueError("is not a picture, or has a format that Pillow can't read") from error
    if picture.format not in READ_FORMATS:
        raise _unread(picture.format)
    return picture


def _unread(kind: str) -> UnreadFormat:
    return UnreadFormat(
        f"{'WebP' if kind == 'WEBP' else kind} is a format that COLMAP can't read: convert it with d2sfm prepare"
    )


def stored_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) before orientation: Pillow turns TIFF files, and no others, as they are opened."""
    if picture.format == "TIFF":
        return picture.tag_v2[256], picture.tag_v2[257]  # ImageWidth, ImageLength
    return picture.size


@contextmanager
def pillow_settings():
    """No warnings of Pillow and no limit of its own on the size of a picture: photographs of 200 megapixels exist.

    Texts and colour profiles before the pixels of a PNG may be longer than Pillow's 1 MB, but not without a limit: a
    few bytes may unpack to gigabytes. All is global, so it is changed by one thread at a time and put back at once.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        texts = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = ALWAYS_UNPACKED
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = texts
