"""JPEG and PNG files part by part: whether a PNG is whole, how a JPEG is coded, and copies that hold no picture.

COLMAP's import decodes every photograph on one core only to learn its size and its EXIF (84 ms for 12 megapixels).
A blank copy, all grey or black, has the same of both and is read in a twelfth of the time. It also keeps damaged
pixels away from COLMAP, which it may take for a picture.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_JPEG_MAGIC, _PNG_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_SOS, _EOI = 0xDA, 0xD9
# Start of frame, of every coding; what lies between are tables and an extension.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_METADATA = {*range(0xE0, 0xF0), 0xFE}  # APP0 to APP15 and comments
# Colours of a PNG and what only fits their type: a blank copy is grey.
_OF_COLOURS = {b"PLTE", b"tRNS", b"bKGD", b"sBIT", b"hIST", b"sPLT"}


def jpeg_segments(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of each segment of a JPEG up to where its pixels begin. ValueError where the chain breaks."""
    if stream.read(2) != _JPEG_MAGIC[:2]:
        raise ValueError("is no JPEG")
    marker = None
    while marker != _SOS:
        if stream.read(1) != b"\xff":
            raise ValueError("has no marker where one is expected")
        while (code := stream.read(1)) == b"\xff":  # fill bytes
            pass
        size = stream.read(2)
        if len(size) < 2 or (length := int.from_bytes(size, "big") - 2) < 0:
            raise ValueError("is cut short before its pixels")
        content = stream.read(length)
        if len(content) < length:
            raise ValueError("is cut short before its pixels")
        marker = code[0]
        yield marker, content


def jpeg_coding(stream: BinaryIO) -> int:
    """The marker of a JPEG's frame: 0xC0 baseline, 0xC1 extended, 0xC2 progressive. ValueError where it has none."""
    for marker, _ in jpeg_segments(stream):
        if marker in _FRAMES:
            return marker
    raise ValueError("has no frame")


def png_chunks(stream: BinaryIO, end: bytes = b"IEND") -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each chunk of a PNG before the one of type ``end``.

    Raises ValueError where the chain or a checksum breaks.
    """
    if stream.read(8) != _PNG_MAGIC:
        raise ValueError("is no PNG")
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise ValueError("is cut short")
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == end:
            return
        content, checksum = stream.read(length), stream.read(4)
        if checksum != zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big"):
            raise ValueError(f"has a chunk {kind!r} that is damaged or cut short")
        yield kind, content


def write_blank_copy(source: Path, target: Path) -> bool:
    """Write a JPEG or PNG of the size and with the metadata of another, and without its picture.

    Returns whether it was written: not where the source is of another format, or damaged before its pixels begin.
    """
    with Path(source).open("rb") as stream:
        magic = stream.read(len(_PNG_MAGIC))
        stream.seek(0)
        try:
            if magic.startswith(_JPEG_MAGIC):
                head, scan_bytes, tail = _blank_jpeg(stream)
            elif magic == _PNG_MAGIC:
                head, scan_bytes, tail = _blank_png(stream)
            else:
                return False
        except ValueError:
            return False
    with Path(target).open("wb") as stream:
        stream.write(head)
        stream.seek(scan_bytes, 1)  # zeros, which take no room on most disks
        stream.write(tail)
    return True


def _blank_jpeg(stream: BinaryIO) -> tuple[bytes, int, bytes]:
    """Head, number of zero bytes in the scan, and tail of the grey copy of a JPEG."""
    metadata, width, height = [], 0, 0
    for marker, content in jpeg_segments(stream):
        if marker in _METADATA:
            metadata.append(_segment(marker, content))
        elif marker in _FRAMES and len(content) >= 5:
            height, width = struct.unpack(">HH", content[1:5])
    if not width or not height:  # a height of 0 is told after the pixels
        raise ValueError("has no size before its pixels")
    one_code_of_one_bit = bytes([1]) + bytes(15) + bytes([0])  # bit 0: no difference, and no further coefficients
    head = b"".join(
        [
            _JPEG_MAGIC[:2],
            *metadata,
            _segment(0xDB, bytes([0]) + bytes([1]) * 64),  # quantisation
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])),
            _segment(0xC4, bytes([0x00]) + one_code_of_one_bit),  # Huffman table of the mean of a block
            _segment(0xC4, bytes([0x10]) + one_code_of_one_bit),  # and of its other coefficients
            _segment(_SOS, bytes([1, 1, 0, 0, 63, 0])),
        ]
    )
    blocks = -(-width // 8) * -(-height // 8)
    return head, -(-2 * blocks // 8), bytes([0xFF, _EOI])


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def _blank_png(stream: BinaryIO) -> tuple[bytes, int, bytes]:
    """The black copy of a PNG, one bit a pixel, in the form of ``_blank_jpeg``. COLMAP reads no metadata at its end."""
    head, size = [_PNG_MAGIC], (0, 0)
    for kind, content in png_chunks(stream, end=b"IDAT"):
        if kind == b"IHDR" and len(content) == 13:
            size = struct.unpack(">II", content[:8])
            head.append(_chunk(kind, content[:8] + bytes([1, 0, 0, 0, 0])))
        elif kind not in _OF_COLOURS:
            head.append(_chunk(kind, content))
    width, height = size
    if not width or not height:
        raise ValueError("has no size before its pixels")
    pixels = zlib.compress(bytes(height * (1 + -(-width // 8))), 1)
    return b"".join(head), 0, _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
