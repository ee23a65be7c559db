"""Photographs of all kinds, small, and what hypothesis makes of them: cut, mutated, with headers that lie."""

import io
import struct
import zlib

import cv2
import numpy as np
from hypothesis import strategies as st
from PIL import Image
from support.helpers import textured_picture
from support.mutations import cut, mutated

RGB = Image.fromarray(textured_picture(0, (24, 17)))
GREY, RGBA = RGB.convert("L"), RGB.convert("RGBA")


def exif() -> Image.Exif:
    """Of a camera with focal length, turned, with a place."""
    found = Image.Exif()
    found[0x010F], found[0x0110], found[0x0112] = "maker", "model", 6
    found.get_ifd(0x8769).update({0x920A: 24.5, 0xA405: 35, 0xA20E: 1000.0, 0xA210: 2})
    found.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.5), 3: "E", 4: (11.0, 34.0, 0.0), 5: b"\0", 6: 500.0})
    return found


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.copy().save(stream, kind, **options)
    return stream.getvalue()


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


SIXTEEN = np.asarray(RGB).astype(np.uint16) * 257
GOOD = {
    "a.jpg": [
        saved(RGB, "JPEG"),
        saved(RGB, "JPEG", exif=exif(), icc_profile=bytes(200), comment=b"a comment"),
        saved(RGB, "JPEG", progressive=True, exif=exif()),
        saved(GREY, "JPEG", restart_marker_blocks=1),
        saved(RGB.convert("CMYK"), "JPEG"),
        encoded(
            ".jpg", SIXTEEN.astype(np.uint8), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440
        ),
        saved(RGB, "MPO", save_all=True, append_images=[RGB]),
    ],
    "a.png": [
        saved(RGB, "PNG", exif=exif()),
        saved(GREY, "PNG"),
        saved(RGBA, "PNG", dpi=(72, 72)),
        saved(RGB.quantize(16), "PNG", transparency=3),
        saved(GREY.convert("1"), "PNG"),
        saved(RGB, "PNG", save_all=True, append_images=[RGB.rotate(180)]),
        encoded(".png", SIXTEEN),
    ],
    "a.tif": [
        saved(RGB, "TIFF", exif=exif()),
        *(saved(RGB, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
        saved(GREY.convert("1"), "TIFF", compression="group4"),
        saved(RGB, "TIFF", big_tiff=True),
        saved(RGB, "TIFF", save_all=True, append_images=[GREY.copy()]),
        saved(RGB.convert("CMYK"), "TIFF"),
        encoded(".tif", SIXTEEN),
    ],
    "a.bmp": [saved(RGB, "BMP"), saved(RGB.quantize(16), "BMP"), saved(GREY.convert("1"), "BMP")],
    "a.ppm": [
        saved(RGB, "PPM"),
        saved(GREY, "PPM"),
        saved(GREY.convert("1"), "PPM"),
        b"P2 4 3 15\n0 1 2 3 4 5 6 7 8 9 10 11\n",
        b"P6 2 2 65535\n" + bytes(range(24)),
    ],
    "a.tga": [saved(RGB, "TGA"), saved(RGB, "TGA", compression="tga_rle"), saved(RGB.quantize(16), "TGA")],
}
UNREAD = [
    saved(RGB, "WEBP", exif=exif()),
    saved(RGB, "GIF", save_all=True, append_images=[RGB.rotate(180)]),
    *(saved(RGB, kind) for kind in ("WEBP", "GIF", "JPEG2000", "AVIF", "ICO", "DIB")),
    b"PF 2 2 -1.0\n" + bytes(48),
    encoded(".tif", np.asarray(RGB) / np.float32(255)),
]
# COLMAP's reader goes by the suffix.
NAMES = ["a.jpg", "a.JPEG", "a.png", "a.tif", "a.TIFF", "a.bmp", "a.ppm", "a.tga", "a.webp", "a.gif"]

# Which good file, by number: sampled_from would spell out all of their bytes where a test fails.
ANY = [content for contents in [*GOOD.values(), UNREAD] for content in contents]
anything = st.integers(0, len(ANY) - 1).map(lambda index: ANY[index])


def of_kind(name: str) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(GOOD[name]) - 1).map(lambda index: GOOD[name][index])


def head_changed(content: bytes, seed: int) -> bytes:
    """Only in the first bytes, where sizes and tables are."""
    return mutated(content[:60], seed) + content[60:]


# ---- JPEG, segment by segment ----


def jpeg_parts(content: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """(marker, content) of the segments before the pixels, and what follows."""
    parts, at = [], 2
    while content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        parts.append((content[at + 1], content[at + 4 : at + 2 + length]))
        at += 2 + length
    return parts, content[at:]


def jpeg_with(content: bytes, which: int, change, again: bool) -> bytes:
    """A JPEG of which one segment is changed, and stands twice perhaps; lengths fit."""
    parts, rest = jpeg_parts(content)
    which %= len(parts)
    marker, segment = parts[which]
    parts[which] = (marker, change(segment)[:60000])
    parts += [parts[which]] if again else []
    return b"\xff\xd8" + b"".join(bytes([0xFF, m]) + struct.pack(">H", len(s) + 2) + s for m, s in parts) + rest


# ---- PNG, chunk by chunk ----


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_with(content: bytes, which: int, kind: bytes | None, change, again: bool) -> bytes:
    """A PNG of which one chunk is changed, and stands twice perhaps; lengths and checksums fit."""
    chunks = png_chunks(content)
    which %= len(chunks)
    chunks[which] = (kind or chunks[which][0], change(chunks[which][1]))
    chunks[which:which] = [chunks[which]] if again else []
    return png_of(chunks)


def png_claiming(width: int, height: int, bits: int, colours: int, interlaced: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced)
    return png_of([(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")])


# ---- TIFF, tag by tag ----


def tiff_with(content: bytes, which: int, tag: int | None, kind: int | None, count: int | None, value: int) -> bytes:
    """A little-endian classic TIFF with an entry of its first directory changed."""
    content = bytearray(content)
    at = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[at : at + 2], "little")
    entry = at + 2 + 12 * (which % max(entries, 1))
    old = struct.unpack_from("<HHII", content, entry)
    new = [was if now is None else now for was, now in zip(old, (tag, kind, count, value), strict=True)]
    struct.pack_into("<HHII", content, entry, *new)
    return bytes(content)


SIZES = st.sampled_from([0, 1, 2, 3, 7, 16, 17, 24, 100, 255, 256, 65535, 100_000, 2**31 - 1, 2**31, 2**32 - 1])
CHANGES = st.one_of(
    st.integers(0, 2**32).map(lambda seed: lambda data: mutated(data, seed)),
    st.floats(0, 1).map(lambda share: lambda data: cut(data, share)),
    st.binary(max_size=40).map(lambda new: lambda data: new),
)
TAGS = st.none() | st.integers(256, 340)
CHUNKS = st.none() | st.sampled_from(b"IHDR PLTE tRNS IDAT IEND gAMA iCCP eXIf tEXt zTXt iTXt acTL fdAT".split())
LITTLE_TIFFS = [content for content in GOOD["a.tif"] if content[:4] == b"II*\0"]


def ppm_text(magic: bytes, numbers: list[int], separator: bytes, pixels: bytes) -> bytes:
    return separator.join([magic, *(str(number).encode() for number in numbers)]) + separator + pixels


def bmp_claiming(content: bytes, at: int, value: int) -> bytes:
    """One number of the header changed."""
    return content[: 14 + 4 * at] + struct.pack("<I", value) + content[18 + 4 * at :]


seeds = st.integers(0, 2**32)
contents = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda content, more: content[:20] + more, anything, st.binary(max_size=200)),
    st.builds(mutated, anything, seeds),
    st.builds(mutated, anything, seeds),
    st.builds(head_changed, anything, seeds),
    st.builds(cut, anything, st.floats(0, 1)),
    st.builds(jpeg_with, of_kind("a.jpg"), st.integers(0, 20), CHANGES, st.booleans()),
    st.builds(png_with, of_kind("a.png"), st.integers(0, 20), CHUNKS, CHANGES, st.booleans()),
    st.builds(
        png_claiming,
        *(SIZES, SIZES, st.sampled_from([0, 1, 2, 4, 8, 16, 255]), st.integers(0, 7), st.integers(0, 2)),
        st.binary(max_size=100) | st.integers(0, 10**6).map(bytes),
    ),
    st.builds(
        tiff_with,
        st.integers(0, len(LITTLE_TIFFS) - 1).map(lambda index: LITTLE_TIFFS[index]),
        *(st.integers(0, 20), TAGS, st.none() | st.integers(0, 18), st.none() | SIZES, SIZES),
    ),
    st.builds(bmp_claiming, of_kind("a.bmp"), st.integers(0, 10), SIZES),
    st.builds(
        ppm_text,
        st.sampled_from(b"P1 P2 P3 P4 P5 P6 P7 PF Pf Py P0CMYK".split()),
        *(
            st.lists(st.one_of(SIZES, st.integers(-2, 10**30)), max_size=4),
            st.sampled_from([b" ", b"\n", b"#\n", b"\0"]),
        ),
        st.binary(max_size=100),
    ),
)
