"""Whether the first directory of a TIFF file describes a picture without contradictions.

COLMAP's reader trusts it: tiles where strips are, too few of either, or JPEG of the old kind (compression 6) make it
write beyond its memory, which ends the process, or wait for ever.
"""

import os
import struct
from collections.abc import Container
from typing import BinaryIO

_CODES = {3: "H", 4: "I", 16: "Q"}  # of the types of whole numbers
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANES = 256, 257, 258, 259, 277, 278, 284
_STRIPS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 273, 279, 322, 323, 324, 325
_COLOUR_MAP, _SUBSAMPLING, _FORMATS = 320, 530, 339
# Numbers on which the layout of pixels depends, and their defaults.
_READ = {
    **dict.fromkeys((_WIDTH, _HEIGHT, _STRIPS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES)),
    **{_BITS: (1,), _COMPRESSION: (1,), _SAMPLES: (1,), _PLANES: (1,), _SUBSAMPLING: (2, 2), _FORMATS: (1,)},
    **{_COLOUR_MAP: None, _ROWS: None},
}
_OLD_JPEG = 6
_MOST_NUMBERS = 10_000_000  # in one entry: rows of the tallest picture


def check_tiff(stream: BinaryIO) -> None:
    """Raise ValueError where the first directory contradicts itself or the file.

    Whether the pixels can be decoded is not looked at.
    """
    file_bytes = stream.seek(0, os.SEEK_END)
    numbers = _numbers(stream, file_bytes)
    found = {tag: numbers.get(tag, default) for tag, default in _READ.items()}
    samples, bits = _check_samples(found)
    planes = samples if _single(found, _PLANES, (1, 2)) == 2 else 1
    parts, part_bytes = _parts(found, bits * samples // planes)
    starts, lengths = (
        found[tag] or () for tag in ((_TILES, _TILE_BYTES) if found[_TILES] else (_STRIPS, _STRIP_BYTES))
    )
    if not len(starts) == len(lengths) == parts * planes:
        raise ValueError(f"it has {len(starts)} strips or tiles of {len(lengths)} sizes, expected {parts * planes}")
    if not all(start > 0 and 0 < length <= file_bytes - start for start, length in zip(starts, lengths, strict=True)):
        raise ValueError("its pixels lie beyond its end")
    if found[_COMPRESSION] == (1,) and min(lengths) < part_bytes:
        raise ValueError("it has too few pixels")


def _single(found: dict[int, tuple[int, ...] | None], tag: int, allowed: Container[int]) -> int:
    value = found[tag]
    if value is None or len(value) != 1 or value[0] not in allowed:
        raise ValueError(f"its TIFF entry {tag} is {'missing' if value is None else value[0]}")
    return value[0]


def _check_samples(found: dict[int, tuple[int, ...] | None]) -> tuple[int, int]:
    """Number of samples of a pixel and bits of each."""
    samples = _single(found, _SAMPLES, range(1, 65))
    for tag in (_BITS, _FORMATS):
        if len(found[tag]) not in (1, samples) or len(set(found[tag])) > 1:
            raise ValueError(f"its samples differ (TIFF entry {tag})")
    bits = found[_BITS][0]
    if not 1 <= bits <= 64 or (found[_COLOUR_MAP] is not None and len(found[_COLOUR_MAP]) != 3 << min(bits, 16)):
        raise ValueError(f"its samples have {bits} bits, and its palette other ones perhaps")
    if len(found[_SUBSAMPLING]) != 2 or not set(found[_SUBSAMPLING]) <= {1, 2, 4}:
        raise ValueError(f"its TIFF entry {_SUBSAMPLING} is {found[_SUBSAMPLING][0]}")
    if found[_COMPRESSION] == (_OLD_JPEG,):
        raise ValueError("it has JPEG of the kind that TIFF gave up, save it anew as PNG")
    return samples, bits


def _parts(found: dict[int, tuple[int, ...] | None], pixel_bits: int) -> tuple[int, int]:
    """Number of tiles or strips of a plane, and the bytes of each where they are not compressed."""
    width, height = (_single(found, tag, range(1, 2**31)) for tag in (_WIDTH, _HEIGHT))
    if any(found[tag] for tag in (_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES)):
        if found[_STRIPS] or found[_STRIP_BYTES]:
            raise ValueError("it has strips and tiles")
        across, down = (_single(found, tag, range(16, 65537, 16)) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        return -(-width // across) * -(-height // down), down * -(-across * pixel_bits // 8)
    # Without an entry, and with the largest number, all rows are in one strip; COLMAP hangs on some near 2**31.
    rows = height if found[_ROWS] in (None, (2**32 - 1,)) else min(_single(found, _ROWS, range(1, 2**30)), height)
    return -(-height // rows), (height % rows or rows) * -(-width * pixel_bits // 8)


def _numbers(stream: BinaryIO, file_bytes: int) -> dict[int, tuple[int, ...]]:
    """The entries of the first directory that are in ``_READ``. ValueError where it is no directory."""

    def read(at: int, code: str, count: int = 1) -> tuple[int, ...]:
        size = count * struct.calcsize(code)
        stream.seek(at)
        content = stream.read(size) if at + size <= file_bytes else b""
        if len(content) < size:
            raise ValueError("its TIFF directory lies beyond its end")
        return struct.unpack(f"{order}{count}{code}", content)

    stream.seek(0)
    order = "<" if stream.read(2) == b"II" else ">"
    is_big = read(2, "H") == (43,)
    word = "Q" if is_big else "I"
    (directory,) = read(8 if is_big else 4, word)
    (entries,) = read(directory, "Q" if is_big else "H")
    at, size = directory + (8 if is_big else 2), 20 if is_big else 12
    numbers = {}
    for entry in range(at, at + size * min(entries, 65536), size):
        (tag, kind), (count,) = read(entry, "H", 2), read(entry + 4, word)
        if tag not in _READ:
            continue
        if tag in numbers or kind not in _CODES or not 0 < count <= _MOST_NUMBERS:
            raise ValueError(f"its TIFF entry {tag} is there twice or of another kind")
        value = entry + (12 if is_big else 8)
        if count * struct.calcsize(_CODES[kind]) > struct.calcsize(word):
            (value,) = read(value, word)
        numbers[tag] = read(value, _CODES[kind], count)
    return numbers
