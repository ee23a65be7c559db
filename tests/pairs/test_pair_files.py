import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database import MatchStore, create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.pairs.arrays import exhaustive
from d2sfm.pairs.pair_files import read_pairs, write_pairs

IDS = {"a.jpg": 3, "b.jpg": 1, "sub/c.png": 7, "my view 1.jpg": 4, "my view 2.jpg": 5}


@pytest.fixture
def read(tmp_path):
    def read_text(text, ids=IDS, newline="\n"):
        path = tmp_path / "pairs.txt"
        path.write_text(text, encoding="utf-8", newline=newline)
        return tuples(read_pairs(path, ids))

    return read_text


def tuples(pairs):
    assert pairs.dtype == np.uint32
    assert pairs.ndim == 2
    return list(map(tuple, pairs.tolist()))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_comments_blank_lines_order_and_line_ends(read, newline):
    text = "\ufeff# chosen by hand\n\na.jpg b.jpg\n   \nsub/c.png b.jpg\n # more\na.jpg sub/c.png"
    assert read(text, newline=newline) == [(1, 3), (1, 7), (3, 7)]


def test_a_pair_counts_once_in_either_order(read):
    assert read("a.jpg sub/c.png\nb.jpg a.jpg\nsub/c.png a.jpg\na.jpg sub/c.png\n") == [(3, 7), (1, 3)]


def test_names_with_spaces(read):
    assert read("my view 1.jpg my view 2.jpg\nmy view 2.jpg  a.jpg \nmy view 1.jpg\tb.jpg") == [(4, 5), (3, 5), (1, 4)]


def test_a_name_that_starts_with_a_space(read):
    ids = {" a.jpg": 1, "b.jpg": 2}
    assert read("b.jpg  a.jpg", ids) == [(1, 2)]
    assert read("b.jpg\t a.jpg", ids) == [(1, 2)]


def test_a_line_that_splits_in_two_ways_needs_a_tab(read):
    ids = {"a": 1, "b c": 2, "a b": 3, "c": 4}
    with pytest.raises(ValueError, match=r"line 2: 'a b c' can be split in 2 ways: put a tab"):
        read("a c\na b c\n", ids)
    assert read("a\tb c\n", ids) == [(1, 2)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg nowhere.jpg", "line 1: no image 'nowhere.jpg' among the 5 images"),
        ("nowhere.jpg a.jpg", "line 1: no image 'nowhere.jpg' among the 5 images"),
        ("a.jpg\tmy view 3.jpg", "line 1: no image 'my view 3.jpg' among the 5 images"),
        ("a.jpg\tb.jpg\tsub/c.png", "line 1: expected two names of images, found 'a.jpg\\tb.jpg\\tsub/c.png'"),
        ("a.jpg", "line 1: expected two names of images, found 'a.jpg'"),
        ("a.jpg ", "line 1: expected two names of images, found 'a.jpg'"),
        (" a.jpg  nowhere.jpg ", "line 1: no image 'nowhere.jpg' among the 5 images"),
        ("{} " * 5000, "line 1: expected two names of images, found 15000 characters"),
        ("a.jpg my view 3.jpg", "line 1: expected two names of images, found 'a.jpg my view 3.jpg'"),
        ("a.jpg a.jpg", "line 1: 'a.jpg' is paired with itself"),
        ("a.jpg\ta.jpg", "line 1: 'a.jpg' is paired with itself"),
    ],
)
def test_bad_lines_are_named(read, tmp_path, line, message):
    with pytest.raises(ValueError) as error:
        read(line + "\n")
    assert str(error.value).startswith(f"{tmp_path / 'pairs.txt'}, {message}")


def test_no_file(tmp_path):
    for missing in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match="no pairs file"):
            read_pairs(missing, IDS)


@pytest.mark.parametrize("content", [b"a.jpg\0b.jpg\n", b"\xff\xfea\x00.\x00", b"caf\xe9.jpg a.jpg\n"])
def test_not_text(tmp_path, content):
    path = tmp_path / "pairs.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a text file"):
        read_pairs(path, IDS)


def test_an_empty_file_asks_for_no_pair(read):
    assert read("") == []


# Names without a tab or a line break: those cannot be written into a line.
names = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\0"), min_size=1, max_size=6).filter(
    lambda name: name == name.strip() and not name.startswith(("#", "\ufeff"))
)


@given(st.data())
@settings(max_examples=examples(60))
def test_tabs_carry_any_names(tmp_path_factory, data):
    listed = data.draw(st.lists(names, min_size=2, max_size=5, unique=True))
    ids = {name: number for number, name in enumerate(listed, start=1)}
    wanted = data.draw(
        st.lists(st.tuples(st.sampled_from(listed), st.sampled_from(listed)).filter(lambda p: p[0] != p[1]))
    )
    path = tmp_path_factory.getbasetemp() / "tabs.txt"
    path.write_bytes("\n".join(f"{a}\t{b}" for a, b in wanted).encode())
    assert tuples(read_pairs(path, ids)) == list(dict.fromkeys(tuple(sorted((ids[a], ids[b]))) for a, b in wanted))


@given(st.data())
@settings(max_examples=examples(60))
def test_spaces_give_the_pair_or_an_error(tmp_path_factory, data):
    """Over two letters and the space, lines are often ambiguous: the answer must be the only split there is."""
    short = st.text("ab ", min_size=1, max_size=4).filter(lambda name: name == name.strip())
    listed = data.draw(st.lists(short, min_size=2, max_size=6, unique=True))
    a, b = data.draw(st.permutations(listed))[:2]
    path = tmp_path_factory.getbasetemp() / "spaces.txt"
    path.write_text(f"{a} {b}")
    ids = {name: number for number, name in enumerate(listed, start=1)}
    if [f"{x} {y}" for x in listed for y in listed].count(f"{a} {b}") == 1:
        assert tuples(read_pairs(path, ids)) == [tuple(sorted((ids[a], ids[b])))]
    else:
        with pytest.raises(ValueError, match="can be split"):
            read_pairs(path, ids)


# Also names that look like comments, or like the mark at the start of a text file.
odd_names = st.text("#\ufeff\u2028 ab/é", min_size=1, max_size=4).filter(lambda name: name.strip())


@given(st.data())
@settings(max_examples=examples(100))
def test_written_pairs_are_read_again(tmp_path_factory, data):
    listed = data.draw(st.lists(odd_names, min_size=2, max_size=5, unique=True))
    ids = {name: number for number, name in enumerate(listed, start=1)}
    pairs = exhaustive(ids.values())[
        data.draw(st.lists(st.integers(0, len(ids) * (len(ids) - 1) // 2 - 1), unique=True))
    ]
    path = tmp_path_factory.getbasetemp() / "written.txt"
    marked = [name.lstrip().startswith("#") or name.startswith("\ufeff") for name in listed]
    if any(marked[a - 1] and marked[b - 1] for a, b in pairs):
        with pytest.raises(ValueError, match="a line may not begin with #"):
            write_pairs(path, pairs, dict(enumerate(listed, start=1)))
    else:
        write_pairs(path, pairs, dict(enumerate(listed, start=1)))
        np.testing.assert_array_equal(read_pairs(path, ids), pairs)


def test_colmap_verifies_the_pairs_of_a_written_file(tmp_path):
    """COLMAP and hloc split at a space: with a tab they find no pair. The case export_pairs_tab_hloc."""
    path = tmp_path / "db.db"
    create_database(path)
    with open_pycolmap(path) as colmap:
        camera_id = colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=80, height=60, params=[90, 90, 40, 30]))
        ids = [
            colmap.write_image(pycolmap.Image(name=name, camera_id=camera_id)) for name in ("sub/a.jpg", "sub/b.jpg")
        ]
        keypoints = np.random.default_rng(0).uniform(5, 55, (40, 2)).astype(np.float32)
        for image_id, shift in zip(ids, (0, 5), strict=True):
            colmap.write_keypoints(image_id, keypoints + np.float32(shift))
        colmap.write_matches(*ids, np.repeat(np.arange(40, dtype=np.uint32)[:, None], 2, axis=1))
    write_pairs(
        tmp_path / "pairs.txt", np.array([ids], np.uint32), dict(zip(ids, ("sub/a.jpg", "sub/b.jpg"), strict=True))
    )
    with quiet_pycolmap():
        pycolmap.verify_matches(path, tmp_path / "pairs.txt")
    with MatchStore(path) as store:
        assert len(store.inlier_matches(*ids)) == 40


def test_a_name_with_a_space_gets_a_tab_and_a_warning(tmp_path, caplog):
    path = tmp_path / "pairs.txt"
    write_pairs(path, np.array([[1, 2], [2, 3], [1, 3]], np.uint32), {1: "a", 2: "b c", 3: "d"})
    assert path.read_text() == "a\tb c\nb c\td\na d\n"
    assert "names with spaces are followed by a tab, which COLMAP and hloc do not read: 1 image (b c)" in caplog.text


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "a\0b", " "])
def test_names_that_no_line_can_hold(tmp_path, name):
    pairs = exhaustive([1, 2])
    with pytest.raises(ValueError, match="can't be written into a pairs file: it holds a tab"):
        write_pairs(tmp_path / "pairs.txt", pairs, {1: name, 2: "b"})
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_pairs(tmp_path / "nowhere" / "pairs.txt", pairs, {1: "a", 2: "b"})
