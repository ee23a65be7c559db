import io
import itertools
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from d2sfm.headers import check_header
from d2sfm.images import check_photograph, load_photograph
from d2sfm.tiff import check_tiff

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
SHORT, LONG, LONG8 = 3, 4, 16
CODES = {SHORT: "H", LONG: "I", LONG8: "Q"}


def tiff(changes=None, tiled=False, order="<", big=False, kind=None, disordered=False):
    """A file of PIXELS without compression: 3 strips, or 3 x 2 tiles; ``changes`` replace its entries."""
    height, width, samples = PIXELS.shape
    across, down = (16, 16) if tiled else (width, 8)
    parts = []
    for top in range(0, height, down):
        for left in range(0, width, across):
            part = PIXELS[top : top + down, left : left + across]
            padding = [(0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)]
            parts.append((np.pad(part, padding) if tiled else part).tobytes())
    starts = np.cumsum([16, *(len(part) for part in parts)]).tolist()
    kind = kind or LONG
    entries = {
        **{256: (kind, [width]), 257: (kind, [height]), 258: (SHORT, [8] * samples), 259: (SHORT, [1])},
        **{262: (SHORT, [2]), 277: (SHORT, [samples]), 284: (SHORT, [1])},
        **({322: (SHORT, [16]), 323: (SHORT, [16])} if tiled else {278: (kind, [down])}),
        324 if tiled else 273: (kind, starts[:-1]),
        325 if tiled else 279: (kind, [len(part) for part in parts]),
        **(changes or {}),
    }
    word, count = ("Q", "Q") if big else ("I", "H")
    rows = sorted((tag, *entry) for tag, entry in entries.items() if entry)
    rows = rows[::-1] if disordered else rows
    directory = starts[-1]
    room = struct.calcsize(f"<{count}") + len(rows) * (20 if big else 12) + struct.calcsize(f"<{word}")
    head, beyond = struct.pack(f"{order}{count}", len(rows)), b""
    for tag, code, values in rows:
        data = struct.pack(f"{order}{len(values)}{CODES[code]}", *values)
        head += struct.pack(f"{order}HH{word}", tag, code, len(values))
        if len(data) > struct.calcsize(f"<{word}"):
            head += struct.pack(f"{order}{word}", directory + room + len(beyond))
            beyond += data
        else:
            head += data.ljust(struct.calcsize(f"<{word}"), b"\0")
    magic = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HHHQ", 43, 8, 0, directory) if big else struct.pack(f"{order}HI", 42, directory)
    return (magic + start).ljust(16, b"\0") + b"".join(parts) + head + bytes(struct.calcsize(f"<{word}")) + beyond


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"order": ">"},
        {"big": True, "kind": LONG8},
        {"big": True, "order": ">"},
        {"disordered": True},
        {"changes": {258: (SHORT, [8]), 284: None}},
    ],
)
def test_strips_and_tiles_of_all_orders_and_sizes(tmp_path, how, tiled):
    content = tiff(tiled=tiled, **how)
    check_tiff(io.BytesIO(content))
    if how in ({}, {"order": ">"}, {"big": True, "kind": LONG8}):  # which Pillow, too, can read
        (tmp_path / "a.tif").write_bytes(content)
        assert np.array_equal(load_photograph(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize("rows", [None, (SHORT, [20]), (LONG, [2**30 - 1]), (LONG, [2**32 - 1])])
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
def test_what_pillow_writes_is_whole(tmp_path, monkeypatch, mode, compression):
    monkeypatch.setattr(TiffImagePlugin, "STRIP_SIZE", 500)  # several strips
    sixteen = Image.fromarray(PIXELS[..., 0].astype(np.uint16))
    picture = sixteen if mode == "I;16" else Image.fromarray(PIXELS).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    assert check_header(tmp_path / "a.tif") == (40, 20)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS.astype(np.uint16), PIXELS[..., 0], PIXELS[..., 0] / np.float32(255)])
def test_what_opencv_writes_is_whole(tmp_path, pixels):
    cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    assert check_header(tmp_path / "a.tif") == (40, 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({256: (SHORT, [0])}, "TIFF entry 256 is 0"),
        ({257: None}, "TIFF entry 257 is missing"),
        ({257: (LONG, [20, 20])}, "TIFF entry 257 is 20"),
        ({257: (SHORT, [25])}, "3 strips or tiles of 3 sizes, expected 4"),
        ({278: (SHORT, [4])}, "3 strips or tiles of 3 sizes, expected 5"),
        ({278: (SHORT, [0])}, "TIFF entry 278 is 0"),
        ({278: (LONG, [2**31 - 1])}, "TIFF entry 278 is 2147483647"),
        ({284: (SHORT, [2])}, "3 strips or tiles of 3 sizes, expected 9"),
        ({284: (SHORT, [3])}, "TIFF entry 284 is 3"),
        ({277: (SHORT, [4])}, "its samples differ"),
        ({258: (SHORT, [8, 8, 16])}, "its samples differ"),
        ({258: (SHORT, [0])}, "have 0 bits"),
        ({258: (SHORT, [16])}, "too few pixels"),
        ({320: (SHORT, [0] * 48)}, "its palette"),
        ({339: (SHORT, [1, 1, 3])}, "its samples differ"),
        ({259: (SHORT, [6])}, "save it anew as PNG"),
        ({530: (SHORT, [0, 2])}, "TIFF entry 530 is 0"),
        ({273: None}, "0 strips or tiles of 3 sizes"),
        ({273: (LONG, [16, 976])}, "2 strips or tiles of 3 sizes"),
        ({273: (LONG, [0, 976, 1936])}, "beyond its end"),
        ({279: (LONG, [960, 960, 10**6])}, "beyond its end"),
        ({279: (LONG, [960, 0, 480])}, "beyond its end"),
        ({279: (LONG, [960, 960, 479])}, "too few pixels"),
        ({322: (SHORT, [16])}, "strips and tiles"),
        ({324: (LONG, [16])}, "strips and tiles"),
    ],
)
def test_contradictions_are_named(tmp_path, changes, message):
    content = tiff(changes)
    with pytest.raises(ValueError, match=message):
        check_tiff(io.BytesIO(content))
    (tmp_path / "a.tif").write_bytes(content)
    for check in (check_header, check_photograph):
        with pytest.raises(ValueError, match=r"^is [^\n]+$"):
            check(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({322: None}, "TIFF entry 322 is missing"),
        ({323: (SHORT, [15])}, "TIFF entry 323 is 15"),
        ({322: (SHORT, [32])}, "6 strips or tiles of 6 sizes, expected 4"),
        ({323: (SHORT, [32])}, "6 strips or tiles of 6 sizes, expected 3"),
        ({325: (LONG, [768] * 5 + [767])}, "too few pixels"),
        ({273: (LONG, [16])}, "strips and tiles"),
    ],
)
def test_contradictions_of_tiles_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        check_tiff(io.BytesIO(tiff(changes, tiled=True)))


def test_entries_of_another_kind_and_two_of_a_kind_are_named():
    content = tiff()
    entry = content.index(struct.pack("<HHI", 257, LONG, 1))
    for new in (struct.pack("<HHI", 257, 5, 1), struct.pack("<HHI", 256, LONG, 1), struct.pack("<HHI", 257, LONG, 0)):
        with pytest.raises(ValueError, match="is there twice or of another kind"):
            check_tiff(io.BytesIO(content[:entry] + new + content[entry + 8 :]))


@pytest.mark.parametrize("kept", [3, 5, 100, 0.9])
def test_a_directory_beyond_the_end_is_named(kept):
    content = tiff(order=">", big=True)
    with pytest.raises(ValueError, match="its TIFF directory lies beyond its end"):
        check_tiff(io.BytesIO(content[: kept if isinstance(kept, int) else int(kept * len(content))]))
