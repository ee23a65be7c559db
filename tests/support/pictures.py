"""Small pictures of many kinds, whole and damaged, in files."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

WIDTH, HEIGHT = 61, 40


ORIENTATION = 0x112  # EXIF tag
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def make_pixels() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramp = np.stack([x * 2, y * 3, x + y], axis=-1)
    return (ramp + np.random.default_rng(0).integers(0, 120, ramp.shape)).astype(np.uint8)


PIXELS = make_pixels()


ALPHA = Image.fromarray((np.mgrid[:HEIGHT, :WIDTH][1] * 4).astype(np.uint8))  # 0 at the left: fully transparent


RGB = Image.fromarray(PIXELS)


GREY = RGB.convert("L")


RGBA = Image.merge("RGBA", (*RGB.split(), ALPHA))


GREY_ALPHA = Image.merge("LA", (GREY, ALPHA))


PALETTE = RGB.quantize(200)


GREY_RGB = np.repeat(np.asarray(GREY)[..., None], 3, axis=2)


# file name: picture, options of Pillow's save, and the pixels that must be read (None: what Pillow decodes)
EIGHT_BIT = {
    "rgb.png": (RGB, {}, PIXELS),
    "rgb.tif": (RGB, {}, PIXELS),
    "lzw.tif": (RGB, {"compression": "tiff_lzw"}, PIXELS),
    "rgb.bmp": (RGB, {}, PIXELS),
    "rgb.ppm": (RGB, {}, PIXELS),
    "rgb.tga": (RGB, {}, PIXELS),
    "grey.png": (GREY, {}, GREY_RGB),
    "grey.tif": (GREY, {}, GREY_RGB),
    "grey.pgm": (GREY, {}, GREY_RGB),
    "rgba.png": (RGBA, {}, PIXELS),
    "rgba.tif": (RGBA, {}, PIXELS),
    "grey_alpha.png": (GREY_ALPHA, {}, GREY_RGB),
    "palette.png": (PALETTE, {}, np.asarray(PALETTE.convert("RGB"))),
    "palette_one_transparent.png": (PALETTE, {"transparency": 3}, np.asarray(PALETTE.convert("RGB"))),
    "palette_alpha.png": (PALETTE, {"transparency": bytes(range(200))}, np.asarray(PALETTE.convert("RGB"))),
    "palette.bmp": (PALETTE, {}, np.asarray(PALETTE.convert("RGB"))),
    "bits.png": (GREY.convert("1"), {}, np.asarray(GREY.convert("1").convert("RGB"))),
    "bits.tif": (GREY.convert("1"), {"compression": "group4"}, np.asarray(GREY.convert("1").convert("RGB"))),
    "cmyk.tif": (RGB.convert("CMYK"), {}, PIXELS),
    "rgb.jpg": (RGB, {"quality": 95}, None),
    "chroma_444.jpg": (RGB, {"quality": 95, "subsampling": 0}, None),
    "progressive.jpg": (RGB, {"quality": 90, "progressive": True}, None),
    "grey.jpg": (GREY, {"quality": 95}, None),
    "cmyk.jpg": (RGB.convert("CMYK"), {"quality": 95}, None),
    "UPPER CASE.JPEG": (RGB, {"quality": 95}, None),
    "Äpfel und 名前.png": (RGB, {}, PIXELS),
}


def save(folder: Path, name: str) -> Path:
    picture, options, _ = EIGHT_BIT[name]
    picture.save(folder / name, **options)
    return folder / name


def save_turned(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    RGB.save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


def shorten(path: Path, kept: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    return path


def png_file(pixels: np.ndarray, colour_type: int, chunks: dict[bytes, bytes], interlaced: bool) -> bytes:
    """A PNG file of 8 bits, from [H, W, C], with chunks that stand before its pixels."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, interlaced)
    passes = [(0, 0, 1, 1)]  # first row and column, steps down and across
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row.tobytes() for top, left, down, across in passes for row in pixels[top::down, left::across]]
    lines = b"".join(b"\x00" + row for row in rows if row)
    head = b"".join(_chunk(kind, content) for kind, content in chunks.items())
    return _PNG_MAGIC + _chunk(b"IHDR", header) + head + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file that claims a size, without the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _PNG_MAGIC + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"0")) + _chunk(b"IEND", b"")


def of_colmap(path: Path) -> np.ndarray:
    """Pixels as COLMAP's own reader gives them."""
    return pycolmap.Bitmap.read(path, as_rgb=True).to_array()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
