"""Bad photographs: pixels or an error of one line; no crash of the process, no hang, no flood of memory."""

import io
import os
import re
import socket
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import textured_picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_reading import Reader
from mutations import cut, mutated
from PIL import Image
from test_tiff import LONG, tiff

from d2sfm.images import load_photograph

PATIENCE_S = 20

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

# What may follow the name of the file, so that an exception of a library is told from a reason of ours.
REASON = re.compile(
    r"(is|has|takes|holds|cannot be opened:) [^\n]+|[^\n]+ is not read by COLMAP, convert it to JPEG or PNG"
)


def require_clean(outcomes: dict[str, tuple[str, object]]) -> None:
    """Each reader reads or refuses in one line, and they agree."""
    for reader, (what, result) in outcomes.items():
        assert what != "raised", f"{reader}: {result}"
        if what == "refused":
            assert REASON.fullmatch(result), f"{reader}: {result!r}"
            assert len(result) < 200, f"{reader}: {result!r}"
            result.encode()
    header, pixels = outcomes["check_header"], outcomes["pixels"]
    if header[0] == "refused" or pixels[0] == "read":
        assert pixels == header


def reader_with(memory_bytes, tmp_path_factory):
    reader = Reader(memory_bytes, PATIENCE_S, tmp_path_factory.mktemp("child") / "stderr")
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    yield from reader_with(4 << 30, tmp_path_factory)


@pytest.fixture(scope="module")
def reader_of_2_gb(tmp_path_factory):
    """26,000 x 26,000 pixels, which COLMAP could take, don't fit into it."""
    yield from reader_with(2 << 30, tmp_path_factory)


def fuzz(reader: Reader, folder: Path, max_examples: int) -> list[bool]:
    """Whether each example was read."""
    read = []

    @given(st.sampled_from(NAMES), contents)
    @settings(deadline=None, max_examples=max_examples, suppress_health_check=list(HealthCheck))
    def run(name, content):
        path = folder / name
        path.write_bytes(content)
        outcomes = reader(path)
        require_clean(outcomes)
        read.append(outcomes["pixels"][0] == "read")

    run()
    return read


@pytest.mark.parametrize("name", GOOD)
def test_what_is_made_worse_below_is_good(tmp_path, reader, name):
    for content in GOOD[name]:
        (tmp_path / name).write_bytes(content)
        outcomes = reader(tmp_path / name)
        require_clean(outcomes)
        assert outcomes["pixels"][0] == outcomes["mask"][0] == "read"
        assert outcomes["metadata"] == outcomes["pixels"]


def test_bad_photographs(tmp_path, reader):
    fuzz(reader, tmp_path, 300)


@pytest.mark.slow
def test_ten_thousand_bad_photographs(tmp_path, reader):
    read = fuzz(reader, tmp_path, 10_000)
    assert read.count(False) > 5000
    assert read.count(True) > 500


BOMBS = {
    "a.png": png_claiming(100_000, 100_000, 8, 2, 0, bytes(1000)),
    "b.png": png_claiming(26_000, 26_000, 8, 2, 0, bytes(1000)),
    "a.jpg": GOOD["a.jpg"][0].replace(struct.pack(">HH", 17, 24), struct.pack(">HH", 65_500, 65_500)),
    "b.jpg": GOOD["a.jpg"][0].replace(struct.pack(">HH", 17, 24), struct.pack(">HH", 26_000, 26_000)),
    "a.bmp": GOOD["a.bmp"][0].replace(struct.pack("<II", 24, 17), struct.pack("<II", 100_000, 100_000)),
    "b.bmp": GOOD["a.bmp"][0].replace(struct.pack("<II", 24, 17), struct.pack("<II", 26_000, 26_000)),
    "a.tga": GOOD["a.tga"][0].replace(struct.pack("<HH", 24, 17), struct.pack("<HH", 65_500, 65_500)),
    "b.tga": GOOD["a.tga"][0].replace(struct.pack("<HH", 24, 17), struct.pack("<HH", 26_000, 26_000)),
    "a.ppm": b"P6 100000 100000 255\n" + bytes(1000),
    "b.ppm": b"P6 26000 26000 255\n" + bytes(1000),
    "c.ppm": b"P6 40 30 255\n" + bytes(3599),
    "a.tif": tiff_with(tiff_with(GOOD["a.tif"][0], 0, 256, 4, 1, 100_000), 1, 257, 4, 1, 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_size_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path, reader_of_2_gb, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    outcomes = reader_of_2_gb(tmp_path / name)
    require_clean(outcomes)
    what, reason = outcomes["pixels"]
    assert what == "refused"
    assert re.search("pixels, expected|bytes can't hold|truncated", reason), reason


@pytest.mark.parametrize("tiled", [False, True])
def test_tiles_that_end_the_process_or_hang_in_colmaps_reader_do_not_reach_it(tmp_path, reader, tiled):
    (tmp_path / "a.tif").write_bytes(tiff({322: (LONG, [2**31])}, tiled=tiled))
    outcomes = reader(tmp_path / "a.tif")
    require_clean(outcomes)
    assert outcomes["check_header"][0] == "refused"


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


SPECIAL = {
    Path.mkdir: "no regular file",
    make_pipe: "no regular file",
    make_socket: "no regular file",
    make_device: "no regular file",
    make_terminal: "no regular file",
    make_dangling_link: "link to a file that does not exist",
    make_link_to_itself: "symbolic links",
    make_link_to_a_pipe: "no regular file",
    Path.touch: "empty",
}


@pytest.mark.parametrize("make", SPECIAL)
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, monkeypatch, reader, name, make):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(tmp_path / name)
    outcomes = reader(tmp_path / name)
    require_clean(outcomes)
    assert outcomes["pixels"][0] == "refused"
    assert SPECIAL[make] in outcomes["pixels"][1]


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.jpg").write_bytes(GOOD["a.jpg"][0])
    monkeypatch.setattr(Path, "open", refuse)  # root may read whatever its mode says
    with pytest.raises(ValueError, match=r"^cannot be opened: Permission denied$"):
        load_photograph(tmp_path / "a.jpg")
