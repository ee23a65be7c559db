"""Which pixels are seen: those whose alpha is above 0, in all the ways in which files tell it."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from support.pictures import ALPHA, EIGHT_BIT, GREY, HEIGHT, PALETTE, PIXELS, RGB, RGBA, WIDTH, png_file, save

from d2sfm.photographs.reading import load_photograph, load_with_alpha

OPAQUE = np.asarray(ALPHA) > 0
INDEX = np.asarray(PALETTE)
SEEN = {
    "rgba.png": OPAQUE,
    "rgba.tif": OPAQUE,
    "grey_alpha.png": OPAQUE,
    "palette_one_transparent.png": INDEX != 3,
    "palette_alpha.png": INDEX != 0,
}


@pytest.mark.parametrize("name", EIGHT_BIT)
def test_pixels_with_alpha_0_are_not_seen(tmp_path, name):
    pixels, seen = load_with_alpha(save(tmp_path, name))
    assert np.array_equal(pixels, load_photograph(tmp_path / name))
    assert seen is None if name not in SEEN else np.array_equal(seen, SEEN[name])


@pytest.mark.parametrize(("suffix", "mode"), [(".tga", "RGBA"), (".tga", "LA"), (".tif", "LA")])
def test_alpha_of_other_formats(tmp_path, suffix, mode):
    RGBA.convert(mode).save(tmp_path / f"a{suffix}")
    assert np.array_equal(load_with_alpha(tmp_path / f"a{suffix}")[1], OPAQUE)


@pytest.mark.parametrize("alpha", [0, 1, 255])
def test_alpha_that_is_nowhere_or_everywhere_0_says_nothing(tmp_path, alpha):
    picture = RGB.copy()
    picture.putalpha(alpha)
    picture.save(tmp_path / "a.png")
    assert load_with_alpha(tmp_path / "a.png")[1] is None


@pytest.mark.parametrize(
    ("colour_type", "transparent"), [(0, (int(np.asarray(GREY)[5, 7]),)), (2, tuple(PIXELS[5, 7].tolist()))]
)
def test_a_grey_or_colour_that_a_png_declares_transparent(tmp_path, colour_type, transparent):
    pixels = np.atleast_3d(np.asarray(GREY)) if colour_type == 0 else PIXELS
    chunk = {b"tRNS": struct.pack(f">{len(transparent)}H", *transparent)}
    (tmp_path / "a.png").write_bytes(png_file(pixels, colour_type, chunk, interlaced=False))
    seen = load_with_alpha(tmp_path / "a.png")[1]
    assert not seen[5, 7]
    assert np.array_equal(seen, (pixels != transparent).any(axis=2))


def png_of_bits(rows, width, bits, colour_type, transparent):
    """A PNG of rows of packed bytes, [H, B] uint8, with a colour, a grey among them, that is transparent."""
    chunk = {b"tRNS": struct.pack(f">{len(transparent)}H", *transparent)}
    content = bytearray(png_file(rows[..., None], 0, chunk, interlaced=False))
    content[16:26] = struct.pack(">IIBB", width, len(rows), bits, colour_type)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_greys_of_few_bits_count_in_steps_of_their_own(tmp_path, bits):
    values = np.arange(32, dtype=np.uint8).reshape(4, 8) % 2**bits
    rows = np.packbits(np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(4, -1), axis=1)
    (tmp_path / "a.png").write_bytes(png_of_bits(rows, 8, bits, 0, [1]))
    assert np.array_equal(load_with_alpha(tmp_path / "a.png")[1], values != 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_of_sixteen_bits(tmp_path, suffix):
    deep = np.dstack([PIXELS, np.asarray(ALPHA)]).astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), deep)
    assert np.array_equal(load_with_alpha(tmp_path / f"a{suffix}")[1], OPAQUE)


@pytest.mark.parametrize("colour_type", [0, 2])
def test_of_sixteen_bits_all_count_in_a_transparent_colour(tmp_path, colour_type):
    """The low byte alone tells it from its neighbour."""
    deep = np.full((HEIGHT, WIDTH, 1 if colour_type == 0 else 3), 29320, ">u2")
    deep[10:20] += 1
    rows = deep.view(np.uint8).reshape(HEIGHT, -1)
    (tmp_path / "a.png").write_bytes(png_of_bits(rows, WIDTH, 16, colour_type, [29320] * deep.shape[2]))
    seen = load_with_alpha(tmp_path / "a.png")[1]
    assert np.array_equal(seen, (deep != 29320).all(axis=2))
