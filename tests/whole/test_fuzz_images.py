"""Bad photographs: pixels or an error of one line; no crash of the process, no hang, no flood of memory."""

import os
import re
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.all_tests import ALL_TESTS
from support.bad_photographs import GOOD, NAMES, contents, png_claiming, tiff_with
from support.image_reading import Reader

from d2sfm.photographs.reading import load_photograph

PATIENCE_S = 20

# What may follow the name of the file, so that an exception of a library is told from a reason of ours.
REASON = re.compile(
    r"(is|has|needs|holds|cannot be opened:) [^\n]+|[^\n]+ is a format that COLMAP can't read: convert it .*"
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
    @settings(max_examples=max_examples, suppress_health_check=list(HealthCheck))
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


@pytest.mark.slow
def test_bad_photographs(tmp_path, reader):
    fuzz(reader, tmp_path, 300)


@pytest.mark.slow
def test_many_bad_photographs(tmp_path, reader):
    """Ten thousand with D2SFM_ALL_TESTS."""
    examples = 10_000 if ALL_TESTS else 1500
    read = fuzz(reader, tmp_path, examples)
    assert read.count(False) > examples // 2
    assert read.count(True) > examples // 20


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
    "b.tif": tiff_with(tiff_with(GOOD["a.tif"][0], 0, 256, 4, 1, 26_000), 1, 257, 4, 1, 26_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_size_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path, reader_of_2_gb, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    outcomes = reader_of_2_gb(tmp_path / name)
    require_clean(outcomes)
    what, reason = outcomes["pixels"]
    assert what == "refused"
    assert re.search("pixels, expected|bytes are too few for|truncated", reason), reason


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
    Path.mkdir: "not a regular file",
    make_pipe: "not a regular file",
    make_socket: "not a regular file",
    make_device: "not a regular file",
    make_terminal: "not a regular file",
    make_dangling_link: "link to a file that does not exist",
    make_link_to_itself: "symbolic links",
    make_link_to_a_pipe: "not a regular file",
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


@pytest.mark.slow
def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.jpg").write_bytes(GOOD["a.jpg"][0])
    monkeypatch.setattr(Path, "open", refuse)  # root may read whatever its mode says
    with pytest.raises(ValueError, match=r"^cannot be opened: Permission denied$"):
        load_photograph(tmp_path / "a.jpg")
