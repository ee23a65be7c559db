"""Folders with names of every kind and broken files among the photographs, through the commands."""

import os
import socket
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.helpers import textured_picture
from support.pictures import png_of_size
from support.tiffs import LONG, tiff

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore

pytestmark = pytest.mark.usefixtures("narrow_network")

SIZE = (96, 80)
# Of what a line with two names can hold.
NAMES = [
    *(
        "a.jpg",
        "a.png",
        "a.jpeg",
        "A.JPG",
        "A.jpg",
        "a.b.c.jpg",
        "a.jpg.png",
        "sub/a.jpg",
        "Sub/a.jpg",
        "sub/a b/A.PNG",
    ),
    *(
        "my view.jpg",
        "my  view.jpg",
        " a.jpg",
        "a .jpg",
        "#1.jpg",
        "-a.jpg",
        "%d {0}.jpg",
        "a,b;c'd\"e&.jpg",
        "a\\b.jpg",
    ),
    *(
        "\u00e9.jpg",
        "e\u0301.jpg",
        "\u540d\u524d/\u5199\u771f.png",
        "\U0001f4f7 1.jpg",
        "\u0645\u0631\u062d\u0628\u0627.jpg",
    ),
    *("x" * 200 + ".jpg", "y" * 100 + "/" + "z" * 150 + ".jpg"),
]
LINE_ENDS = ["new\nline.jpg", "tab\t.jpg", "return\r.jpg"]


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def write(path: Path, index: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = textured_picture(3, (SIZE[0] + 4 * len(NAMES), SIZE[1]))[:, 4 * index :][: size[1], : size[0]]
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for index, name in enumerate(NAMES):
        write(folder / name, index)
    return folder


@pytest.fixture(scope="module")
def database(photographs, tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "db.db"
    assert extract(photographs, path) == 0
    assert run("match", "--database", path, "--pairs", "exhaustive", "--no-verify", "--quiet") == 0
    return path


def extract(photographs, database, *more):
    options = ("--max-edge", 64, "--max-keypoints", 50, "--camera-mode", "single", "--quiet")
    return run("extract", "--images", photographs, "--database", database, *options, *more)


def keypoints(database):
    with FeatureStore(database) as store:
        return {name: store.read(name).keypoints for name in store.extracted()}


@pytest.mark.slow
def test_all_names_are_extracted_and_matched_each_for_itself(photographs, database):
    found = keypoints(database)
    assert sorted(found) == sorted(NAMES)
    assert len({rows.tobytes() for rows in found.values()}) == len(NAMES)
    with MatchStore(database) as store:
        assert len(store.pairs_table()) == len(NAMES) * (len(NAMES) - 1) // 2


@pytest.mark.slow
def test_pairs_of_a_file_are_those_that_it_names(photographs, database, tmp_path):
    """Neighbours in the list, a tab between, either of which may look like a comment."""
    expected = set(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
    comments = {name for name in NAMES if name.lstrip().startswith("#")}
    lines = ["\t".join(pair[::-1] if pair[0] in comments else pair) for pair in sorted(expected)]
    (tmp_path / "pairs.txt").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "db.db").write_bytes(database.read_bytes())
    own = ("--pairs", tmp_path / "pairs.txt", "--overwrite", "--no-verify", "--quiet")
    written = tmp_path / "written.txt"
    assert run("match", "--database", tmp_path / "db.db", *own, "--write-pairs", written) == 0
    found = [line.split("\t" if "\t" in line else " ") for line in written.read_text().split("\n") if line]
    assert {frozenset(pair) for pair in found} == {frozenset(pair) for pair in expected}
    assert len(found) == len(expected)


@pytest.mark.slow
def test_each_photograph_has_the_mask_of_its_own_name(photographs, tmp_path):
    masks, inside = tmp_path / "masks", {}
    for index, name in enumerate(NAMES):
        mask = np.zeros(SIZE[::-1], np.uint8)
        left = 2 * (index % 20)
        mask[:, left : left + 56] = 255
        inside[name] = (left, left + 56)
        if len(Path(name).name.encode()) < 250:  # a longer name there can't be
            write_mask(masks / f"{name}.png", mask)
    assert extract(photographs, tmp_path / "db.db", "--masks", masks) == 0
    for name, rows in keypoints(tmp_path / "db.db").items():
        left, right = inside[name]
        assert len(rows), name
        assert left <= rows[:, 0].min(), name
        assert rows[:, 0].max() < right, name


def write_mask(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hloc", "npz", pytest.param("mat", marks=pytest.mark.slow)])
def test_features_of_all_names_come_back(photographs, database, tmp_path, kind):
    to = tmp_path / "exported"
    assert run("export", "--database", database, "--output", to, "--format", kind, "--quiet") == 0
    given = ["--features", to / "features.h5", "--matches", to / "matches.h5", "--no-verify"]
    given = given if kind == "hloc" else ["--features", to]
    shared = ["--camera-mode", "single", "--quiet"]
    assert run("import", "--database", tmp_path / "db.db", "--images", photographs, *given, *shared) == 0
    found, expected = keypoints(tmp_path / "db.db"), keypoints(database)
    assert sorted(found) == sorted(expected)
    for name, rows in expected.items():
        np.testing.assert_allclose(found[name][:, :2], rows[:, :2], atol=1e-3, err_msg=name)
    if kind == "hloc":
        with MatchStore(tmp_path / "db.db") as imported, MatchStore(database) as store:
            assert sorted(imported.pairs_table()) == sorted(store.pairs_table())


def test_names_with_line_ends_are_extracted_and_refused_where_a_line_names_images(tmp_path, capsys):
    for index, name in enumerate(LINE_ENDS):
        write(tmp_path / "photographs" / name, index)
    (tmp_path / "photographs" / "bad\nwarning: skipped a.jpg.png").write_bytes(b"no picture")
    database = tmp_path / "db.db"
    assert extract(tmp_path / "photographs", database) == 1
    assert capsys.readouterr().err.splitlines() == [
        "warning: skipped bad\\nwarning: skipped a.jpg.png: is not a picture, or has a format that Pillow can't read"
    ]
    assert sorted(keypoints(database)) == sorted(LINE_ENDS)
    match = ("match", "--database", database, "--pairs", "exhaustive", "--no-verify", "--quiet")
    assert run(*match, "--write-pairs", tmp_path / "pairs.txt") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "can't be written into a pairs file" in line
    assert run(*match) == 0
    with MatchStore(database) as store:
        assert len(store.pairs_table()) == 3


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def bytes_of(content):
    return lambda path: path.write_bytes(content)


def link_to(target):
    return lambda path: path.symlink_to(target)


GOOD_JPEG = cv2.imencode(".jpg", textured_picture(0, SIZE))[1].tobytes()
GOOD_PNG = cv2.imencode(".png", textured_picture(0, SIZE))[1].tobytes()
BROKEN = {
    "cut short.jpg": (bytes_of(GOOD_JPEG[: len(GOOD_JPEG) // 2]), "is damaged or cut short"),
    "cut.png": (bytes_of(GOOD_PNG[: len(GOOD_PNG) // 2]), "is damaged or cut short"),
    "sub/CUT.JPG": (bytes_of(GOOD_JPEG[:-100]), "is damaged or cut short"),
    "header alone.png": (bytes_of(GOOD_PNG[:33]), "is not a picture"),
    "empty.jpg": (Path.touch, "is an empty file"),
    "text.png": (bytes_of(b"no picture"), "is not a picture"),
    "\u00fc\u0301 \U0001f4a5.tif": (bytes_of(tiff({273: (LONG, [16, 976])})), "is damaged or cut short"),
    "large.png": (bytes_of(png_of_size(100_000, 100_000)), "is 100000 x 100000 pixels"),
    "large.jpg": (
        bytes_of(GOOD_JPEG.replace(struct.pack(">HH", 80, 96), struct.pack(">HH", 65_000, 65_000))),
        "is 65000 x 65000 pixels",
    ),
    "promise.ppm": (bytes_of(b"P6 20000 20000 255\n" + bytes(999)), "bytes are too few for"),
    "small.png": (lambda path: write(path, 0, (40, 5)), "8 px"),
    "moving.gif": (lambda path: Image.new("L", SIZE).save(path), "GIF is a format that COLMAP can't read"),
    "raw.DNG": (bytes_of(tiff()), "camera raw is a format that COLMAP can't read"),
    "phone.heic": (bytes_of(b"\0\0\0\x18ftypheic"), "HEIC is a format that COLMAP can't read"),
    "pipe.jpg": (make_pipe, "not a regular file"),
    "socket.jpg": (make_socket, "not a regular file"),
    "device.jpg": (link_to("/dev/zero"), "not a regular file"),
    "dangling.jpg": (link_to("nowhere.jpg"), "link to a file that does not exist"),
    "loop.jpg": (link_to("loop.jpg"), "symbolic links"),
    os.fsdecode(b"caf\xe9.jpg"): (bytes_of(GOOD_JPEG), "not UTF-8"),
}


@pytest.mark.slow
def test_broken_files_of_all_kinds_are_named_once_and_the_rest_is_done(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    folder, good = tmp_path / "photographs", ["a.jpg", "a.png", "sub/a.jpg", "z \u00e9.JPG"]
    for index, name in enumerate(good):
        write(folder / name, index)
    for name, (make, _) in BROKEN.items():
        make(folder / name)
    (folder / "folder.jpg").mkdir()
    (tmp_path / "empty").mkdir()
    (folder / "link to a folder.jpg").symlink_to(tmp_path / "empty")
    database = tmp_path / "db.db"
    assert extract(folder, database) == 1
    lines = capsys.readouterr().err.splitlines()
    expected = {name.encode(errors="backslashreplace").decode(): reason for name, (_, reason) in BROKEN.items()}
    assert len(lines) == len(expected)
    for name, reason in expected.items():
        [line] = [line for line in lines if line.startswith(f"warning: skipped {name}: ")]
        assert reason in line
    assert sorted(keypoints(database)) == sorted(good)
    with FeatureStore(database) as store:
        assert sorted(store.images()) == sorted(good)
    assert run("match", "--database", database, "--pairs", "exhaustive", "--no-verify", "--quiet") == 0
    with MatchStore(database) as store:
        assert len(store.pairs_table()) == 6
    assert extract(folder, database) == 1  # they are still there
    assert [line for line in capsys.readouterr().err.splitlines() if "skipped" in line] == lines
    for name in BROKEN:
        (folder / name).unlink()
    assert extract(folder, database) == 0
    assert "skipped" not in capsys.readouterr().err
