import numpy as np
import pytest
from support.grey_texture import photograph
from support.plane_views import PlaneViews
from support.sequences import write_sequence

from d2sfm.evaluation.sequences import find_sequences

SHIFTED = np.array([[1, 0, 5], [0, 1, 3], [0, 0, 1.0]])
VIEWS = PlaneViews([photograph((32, 24))] * 2, [np.eye(3), SHIFTED])


@pytest.fixture
def root(tmp_path):
    write_sequence(tmp_path / "root" / "v_wall", VIEWS)
    return tmp_path / "root"


def test_pictures_come_with_the_homographies_of_their_numbers(root):
    write_sequence(root / "i_2", VIEWS)
    folder = write_sequence(root / "i_10", VIEWS)
    (folder / "2.png").rename(folder / "11.png")
    (folder / "H_1_2").rename(folder / "H_1_11")
    (folder / "notes.txt").touch()
    found = find_sequences(root)
    assert [each.name for each in found] == ["i_2", "i_10", "v_wall"]
    assert found[1].first == folder / "1.ppm"
    [(path, homography)] = found[1].others
    assert path == folder / "11.png"
    assert np.array_equal(homography, SHIFTED)


def test_some_are_chosen_and_folders_of_other_things_are_named(root, caplog):
    for name in ("i_a", "i_b"):
        write_sequence(root / name, VIEWS)
    (root / "list").mkdir()
    assert [each.name for each in find_sequences(root, only=["i_*"])] == ["i_a", "i_b"]
    assert [each.name for each in find_sequences(root, leave_out=["i_a", "v_*"])] == ["i_b"]
    assert "left out, no picture 1 in it: 1 folder (list)" in caplog.text


def write(text):
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("H_1_2", lambda path: path.unlink(), "v_wall has no H_1_2, the homography to 2.png"),
        ("2.png", lambda path: path.unlink(), "v_wall has H_1_2 but no picture 2"),
        ("2.png", lambda path: path.write_bytes(path.read_bytes()[:-40]), "v_wall/2.png "),
        ("1.ppm", write("no picture"), "v_wall/1.ppm "),
        ("2.jpg", write(""), "v_wall has two pictures of the same number: 2.jpg, 2.png"),
        ("H_1_2", write("1 0 0\n0 1 0\n"), "H_1_2 is not a homography: expected three lines of three numbers"),
        ("H_1_2", write("1 0 0\n0 1 x\n0 0 1"), "H_1_2 is not a homography"),
        ("H_1_2", write("1 0 0\n0 1 0\n0 0 nan"), "H_1_2 is not a homography"),
        ("H_1_2", write("1 0 0\n0 1 0\n0 1 0"), "H_1_2 is not a homography"),
        ("H_1_2", write(""), "H_1_2 is not a homography"),
    ],
)
def test_what_is_missing_or_broken_is_told_in_one_line(root, name, change, message):
    change(root / "v_wall" / name)
    with pytest.raises(ValueError, match=r"v_wall") as caught:
        find_sequences(root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_folder_of_sequences_is_told(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder of sequences"):
        find_sequences(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no sequences: expected folders with 1\.ppm, 2\.ppm"):
        find_sequences(tmp_path / "empty")
    with pytest.raises(ValueError, match="v_wall is a sequence: expected its parent folder"):
        find_sequences(root / "v_wall")
    with pytest.raises(ValueError, match=r"none of the 1 sequence in .* matches 'i_\*'"):
        find_sequences(root, leave_out=["i_*"])
    with pytest.raises(ValueError, match=r"no sequence of .* is left"):
        find_sequences(root, only=["v_wall"], leave_out=["v_*"])
    for name in ("2.png", "H_1_2"):
        (root / "v_wall" / name).unlink()
    with pytest.raises(ValueError, match="v_wall has one picture"):
        find_sequences(root)
