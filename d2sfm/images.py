"""Photographs on disk: which files they are, whether they can be used, and their pixels on COLMAP's grid.

COLMAP ignores EXIF orientation when it imports a photograph, so its cameras and keypoints belong to the pixels as
they are stored. pycolmap's reader holds Python's lock while it decodes, and gives a half grey picture for a truncated
JPEG and says nothing. Pillow does neither: it decodes the kinds of files of which it gives the same pixels, bit for
bit, and checks that the others are whole before pycolmap reads them.
"""

import logging
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image
from PIL.features import check_feature

from d2sfm.containers import jpeg_coding, png_chunks
from d2sfm.headers import PHOTOGRAPH_SUFFIXES, named_damage, named_memory_error, opened, pillow_settings, stored_size

logger = logging.getLogger(__name__)

# Of these Pillow and pycolmap give the same pixels. Both carry libjpeg-turbo, whose releases agree on them; other
# libraries, and some releases at other chroma sizes, interpolate differently.
_SAME_JPEG_CODINGS = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, with Huffman codes
_SAME_JPEG_LUMA = {(1, 1), (2, 1), (2, 2), (4, 1)}  # samples for each of chroma: 4:4:4, 4:2:2, 4:2:0, 4:1:1
_SAME_PNG_PIXELS = {"L", "RGB", "RGBA"}  # of 8 bits

_STRIP_ROWS = 64


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


def load_photograph(path: Path) -> np.ndarray:
    """Check a photograph and decode it, once where Pillow can: pixels as ``read_photograph`` gives them.

    Returns [H, W, 3] uint8, RGB. Needs the room of about two such arrays. Safe to call from several threads, which
    Pillow lets decode at the same time.

    Raises ValueError with the reason in one line (without the path) where the file cannot be used, a part of it is
    missing among others, FileNotFoundError where there is none.
    """
    path = Path(path)
    kind, size, pixels = _decode_with_pillow(path)
    return _decode_with_colmap(path, kind, size) if pixels is None else pixels


def check_photograph(path: Path) -> tuple[int, int]:
    """Whether a file can be used as a photograph, by decoding it; errors are those of ``load_photograph``.

    Call it before a file is given to COLMAP, which does not notice one that is cut short. Returns (width, height) in
    pixels on COLMAP's grid.
    """
    height, width, _ = load_photograph(path).shape
    return width, height


def read_photograph(path: Path) -> np.ndarray:
    """Pixels of a photograph on COLMAP's grid, by its own reader: [H, W, 3] uint8, RGB. EXIF orientation is ignored.

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


def _check_range(picture: Image.Image) -> None:
    """COLMAP reads floating point as 0..1 and 32-bit integers over their whole range, which few files follow."""
    if picture.mode == "F":
        low, high = picture.getextrema()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"has floating-point pixels from {low:g} to {high:g}, expected 0 to 1")
    elif picture.format == "TIFF" and max(picture.tag_v2.get(258, (1,))) > 16:  # BitsPerSample
        raise ValueError("has 32-bit pixels, expected 8 or 16 bits")


def _decode_with_pillow(path: Path) -> tuple[str, tuple[int, int], np.ndarray | None]:
    """Format, (width, height) and, where Pillow gives COLMAP's, the pixels of a file that is whole."""
    with opened(path) as picture:
        size, ours = stored_size(picture), _same_as_colmap(path, picture)
        if not ours:
            # A JPEG is decoded at an eighth of its size: every byte is still read, in half of the time.
            picture.draft(None, (1, 1))
        # Of the formats that COLMAP reads, only TIFF looks at Pillow's settings again while it loads.
        with named_damage(), pillow_settings() if picture.format == "TIFF" else nullcontext():
            picture.load()
        _check_range(picture)
        return picture.format, size, _pixels(picture) if ours else None


def _same_as_colmap(path: Path, picture: Image.Image) -> bool:
    """Whether Pillow's pixels of a picture, of which the header is read, are proven to be pycolmap's."""
    try:
        with path.open("rb") as stream:
            if picture.format == "PNG":
                # Pillow forgives broken chunks, of which COLMAP makes black pixels.
                return picture.tile[0][3] in _SAME_PNG_PIXELS and all(True for _ in png_chunks(stream))
            if picture.format not in ("JPEG", "MPO") or jpeg_coding(stream) not in _SAME_JPEG_CODINGS:
                return False
    except ValueError:
        return False
    sampling = [(across, down) for _, across, down, _ in picture.layer]
    sampled_alike = len(sampling) == 1 or (sampling[1:] == [(1, 1), (1, 1)] and sampling[0] in _SAME_JPEG_LUMA)
    return picture.mode in ("L", "RGB") and sampled_alike and check_feature("libjpeg_turbo")


def _pixels(picture: Image.Image) -> np.ndarray:
    """Pixels of a grey, RGB or RGBA picture, [H, W, 3] uint8; in strips, as Pillow's own way takes three copies."""
    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        strip = np.asarray(picture.crop((0, top, width, min(top + _STRIP_ROWS, height))))
        pixels[top : top + len(strip)] = strip[..., None] if strip.ndim == 2 else strip[..., :3]
    return pixels


@named_memory_error()
def _decode_with_colmap(path: Path, kind: str, size: tuple[int, int]) -> np.ndarray:
    bitmap = pycolmap.Bitmap.read(path, as_rgb=True)
    if bitmap is None:
        raise ValueError(f"is a {kind} file of a kind that COLMAP cannot read, convert it to JPEG or 8-bit PNG")
    if (bitmap.width, bitmap.height) != size:
        raise ValueError(f"is {bitmap.width} x {bitmap.height} pixels for COLMAP, {size[0]} x {size[1]} for Pillow")
    pixels = bitmap.to_array()
    # COLMAP says nothing where decoding fails half-way, and gives black pixels: a TIFF compression that it lacks
    # (zstd, for example), or a damaged PNG that Pillow forgives.
    if not pixels.any() and not _is_black(path):
        raise ValueError(f"is a {kind} file of which COLMAP reads black pixels only, save it anew as PNG")
    return pixels


def _is_black(path: Path) -> bool:
    with opened(path) as picture, pillow_settings():
        return picture.convert("RGB").getbbox() is None
