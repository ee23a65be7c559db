"""TIFF files of all layouts, and those that contradict themselves: COLMAP's reader crashes or hangs on some."""

import itertools
import struct

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image, TiffImagePlugin
from support.image_reading import Reader
from support.tiffs import LONG, LONG8, PIXELS, SHORT, tiff

from d2sfm.photographs import headers
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.reading import load_photograph


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = Reader(4 << 30, 20, tmp_path_factory.mktemp("child") / "stderr")
    yield reader
    reader.close()


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(
    "how", [{}, {"order": ">"}, {"big": True, "kind": LONG8}, {"changes": {258: (SHORT, [8] * 3)}}]
)
def test_strips_and_tiles_of_all_orders_and_sizes(tmp_path, how, tiled):
    (tmp_path / "a.tif").write_bytes(tiff(tiled=tiled, **how))
    assert np.array_equal(load_photograph(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("width", [40, 20])  # of a square, the size does not show a quarter turn
def test_pixels_stay_as_they_are_stored_whatever_the_orientation(tmp_path, width, orientation):
    stored = np.ascontiguousarray(PIXELS[:, :width])
    for pixels in (stored, stored.astype(np.uint16) * 257):
        (tmp_path / "a.tif").write_bytes(tiff({274: (SHORT, [orientation])}, pixels=pixels))
        assert np.array_equal(load_photograph(tmp_path / "a.tif"), stored)
        assert read_header(tmp_path / "a.tif") == ((width, 20), orientation)


def test_an_opencv_that_does_not_turn_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(tiff({274: (SHORT, [3])}, pixels=PIXELS.astype(np.uint16) * 257))
    decode = cv2.imdecode

    def unturned(content, flags):
        found = decode(content, flags)
        return found[:, ::-1] if len(found) == 1 else found[::-1, ::-1]  # the probe, and the photograph

    monkeypatch.setattr(cv2, "imdecode", unturned)
    headers._opencv_turns.cache_clear()
    try:
        assert np.array_equal(load_photograph(tmp_path / "a.tif"), PIXELS)
    finally:
        headers._opencv_turns.cache_clear()


@pytest.mark.parametrize("rows", [None, (SHORT, [20]), (LONG, [2**32 - 1])])
def test_one_strip_of_all_rows(tmp_path, rows):
    (tmp_path / "a.tif").write_bytes(tiff({273: (LONG, [16]), 279: (LONG, [PIXELS.nbytes]), 278: rows}))
    assert np.array_equal(load_photograph(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        *itertools.product(
            ["RGB", "L", "P", "CMYK", "1", "I;16"], [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]
        ),
        *itertools.product(["RGB", "L", "CMYK"], ["jpeg"]),
        *itertools.product(["1"], ["tiff_ccitt", "group3", "group4"]),
    ],
)
def test_pixels_are_those_of_colmap(tmp_path, monkeypatch, mode, compression):
    monkeypatch.setattr(TiffImagePlugin, "STRIP_SIZE", 500)  # several strips
    sixteen = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 250)
    picture = sixteen if mode == "I;16" else Image.fromarray(PIXELS).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    theirs = pycolmap.Bitmap.read(tmp_path / "a.tif", as_rgb=True).to_array()
    # COLMAP loses one step of palettes that are stored as 256 times 8 bits, as Pillow writes them.
    assert np.abs(load_photograph(tmp_path / "a.tif") - theirs.astype(int)).max() <= (1 if mode == "P" else 0)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS.astype(np.uint16) * 250, PIXELS[..., 0], PIXELS / np.float32(255)])
def test_pixels_of_opencv_are_those_of_colmap_or_refused(tmp_path, pixels):
    cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    if pixels.dtype == np.float32:
        with pytest.raises(ValueError, match="is not a picture, or has a format that Pillow can't read"):
            load_photograph(tmp_path / "a.tif")
    else:
        theirs = pycolmap.Bitmap.read(tmp_path / "a.tif", as_rgb=True).to_array()
        assert np.array_equal(load_photograph(tmp_path / "a.tif"), theirs)


CONTRADICTIONS = [  # changes of a file in strips, and of one in tiles
    ({257: (SHORT, [25])}, {}),
    ({278: (SHORT, [4])}, {}),
    ({278: (SHORT, [0])}, {}),
    ({278: (LONG, [2**31 - 1])}, {}),
    ({258: (SHORT, [8, 8, 16])}, {258: (SHORT, [8, 8, 16])}),
    ({277: (SHORT, [4])}, {277: (SHORT, [4])}),
    ({339: (SHORT, [1, 1, 3])}, {339: (SHORT, [2, 2, 2])}),
    ({273: None}, {324: None}),
    ({273: (LONG, [16, 976])}, {324: (LONG, [16, 784])}),
    ({}, {322: None}),
    ({}, {322: (SHORT, [32])}),
    ({}, {322: (LONG, [2**31])}),
    ({259: (SHORT, [6])}, {259: (SHORT, [6])}),
]


@pytest.mark.parametrize(
    ("changes", "tiled"), [(changes, tiled) for pair in CONTRADICTIONS for tiled, changes in enumerate(pair) if changes]
)
def test_files_that_lack_pixels_are_refused(tmp_path, reader, changes, tiled):
    (tmp_path / "a.tif").write_bytes(tiff(changes, tiled=bool(tiled)))
    what, reason = reader(tmp_path / "a.tif")["pixels"]
    assert what == "refused"
    assert reason.startswith(("is ", "has ")), reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("changes", "tiled"),
    [
        ({279: (LONG, [960, 0, 480])}, False),
        ({322: (LONG, [2**31])}, False),
        ({324: (LONG, [16])}, False),
        ({530: (SHORT, [0, 2])}, False),
    ],
)
def test_contradictions_that_do_not_touch_the_pixels_do_no_harm(tmp_path, reader, changes, tiled):
    """COLMAP's reader crashes or hangs on some of them; its import sees a blank copy."""
    (tmp_path / "a.tif").write_bytes(tiff(changes, tiled=tiled))
    outcomes = reader(tmp_path / "a.tif")
    assert {outcomes[name] for name in ("check_header", "pixels", "metadata")} == {("read", (40, 20))}
    assert np.array_equal(load_photograph(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize("kept", [3, 5, 100, 0.9])
def test_files_cut_short_are_refused(tmp_path, kept):
    content = tiff(order=">")
    (tmp_path / "a.tif").write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(ValueError, match=r"cut short|not a picture"):
        load_photograph(tmp_path / "a.tif")


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["zstd", "jpeg"])
def test_compressions_that_colmap_does_not_read_are_refused(tmp_path, compression):
    """COLMAP makes black pixels of zstd, and of JPEG as TIFF had it at first."""
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", compression=compression)
    if compression == "jpeg":
        content = bytearray((tmp_path / "a.tif").read_bytes())
        entry = content.index(struct.pack("<HHI", 259, SHORT, 1))
        content[entry + 8] = 6
        (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ValueError, match="compression that COLMAP can't read: save it as PNG"):
        load_photograph(tmp_path / "a.tif")
