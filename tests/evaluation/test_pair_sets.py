"""Layouts of hard pairs, and what is said of others."""

import numpy as np
import pytest

from d2sfm.evaluation.pair_sets import read_pairs

K = "100 0 40 0 100 30 0 0 1"
T = "1 0 0 .5 0 1 0 0 0 0 1 .1 0 0 0 1"


def write_clicked(root, *names, points="1 2 3 4\n5.5 6 7 8\n"):
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        for picture in ("01.png", "02.JPG"):
            (folder / picture).touch()
        (folder / "corrs.txt").write_text(points)
    return root


def write_list(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        (path.parent / name).touch()
    path.write_text("\n".join(lines) + "\n")
    return path


def test_folders_of_pairs_by_name(tmp_path):
    root = write_clicked(tmp_path / "sets", "WGS/b", "WGS/a", "flat")
    pairs = read_pairs(root)
    assert [pair.name for pair in pairs] == ["WGS/a", "WGS/b", "flat"]
    assert pairs[0].paths == (root / "WGS/a/01.png", root / "WGS/a/02.JPG")
    assert pairs[0].points.tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]
    assert [pair.name for pair in read_pairs(root / "WGS/a")] == ["a"]


def test_halves_are_every_other_pair(tmp_path):
    root = write_clicked(tmp_path, *"edcba")
    assert [pair.name for pair in read_pairs(root, half="first")] == ["a", "c", "e"]
    assert [pair.name for pair in read_pairs(root, half="second")] == ["b", "d"]
    with pytest.raises(ValueError, match="holds one pair, and has no second half"):
        read_pairs(root / "a", half="second")


def test_a_list_of_pairs_with_poses(tmp_path):
    path = write_list(tmp_path / "lists" / "pairs.txt", "# pairs", f"a.png b.png 0 1 {K} {K} {T}", "")
    [pair] = read_pairs(path)
    assert (pair.name, pair.paths) == ("a.png - b.png", (path.parent / "a.png", path.parent / "b.png"))
    assert pair.intrinsics[1].tolist() == [[100, 0, 40], [0, 100, 30], [0, 0, 1]]
    assert pair.b_from_a[:3, 3].tolist() == [0.5, 0, 0.1]
    assert pair.points is None
    other = tmp_path / "pairs.txt"
    other.write_text(path.read_text())
    assert read_pairs(other, images=path.parent)[0].paths == pair.paths


@pytest.mark.parametrize("turn", range(4))
def test_turns_are_those_of_numpy(tmp_path, turn):
    from d2sfm.coordinates import upright_array

    [pair] = read_pairs(write_list(tmp_path / "pairs.txt", f"a.png b.png {turn} 0 {K} {K} {T}"))
    picture = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(upright_array(picture, pair.orientations[0]), np.rot90(picture, turn))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.png b.png", r"line 1: expected name0 name1 rot0 rot1 K0 \(9 numbers\) K1 \(9\) T_0to1 \(16\), found"),
        ("word", "line 1: expected name0 name1"),
        (f"a.png b.png 0 0 {K} {K} {T} 3", "line 1: expected name0 name1"),
        (f"a.png b.png 0 0 {K} {K} {T.replace('1', 'nan')}", "line 1: expected name0 name1"),
        (f"a.png b.png 0 4 {K} {K} {T}", "expected turns of 0 to 3 quarters, found 0 and 4"),
        (f"a.png b.png 0 0 {K} {K.replace('100', '-1')} {T}", "expected matrices K with focal lengths above 0"),
        (f"a.png b.png 0 0 {K} {K} {T.replace('.5 0 1 0', '.5 0 2 0')}", "expected a pose T_0to1 of a rotation"),
        (f"a.png c.png 0 0 {K} {K} {T}", r"no picture .*c.png \(--images is the folder of the pictures\)"),
        ("", "pairs.txt holds no pairs"),
    ],
)
def test_what_is_wrong_with_a_list(tmp_path, line, expected):
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        read_pairs(write_list(tmp_path / "pairs.txt", line))


def test_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no pairs .*: expected a folder in WxBS's layout or a list"):
        read_pairs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no pairs: WxBS's layout is NAME or CATEGORY/NAME with 01"):
        read_pairs(tmp_path)
    write_clicked(tmp_path / "a", "pair", points="1 2 3\n")
    with pytest.raises(ValueError, match=r"corrs.txt, line 1: expected x1 y1 x2 y2, found '1 2 3'"):
        read_pairs(tmp_path / "a")
    write_clicked(tmp_path / "b", "pair", points="\n")
    with pytest.raises(ValueError, match=r"corrs.txt holds no points"):
        read_pairs(tmp_path / "b")
    (write_clicked(tmp_path / "c", "pair") / "pair" / "01.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"has 0 pictures 01\.\*, expected one"):
        read_pairs(tmp_path / "c")
    with pytest.raises(ValueError, match="--images goes with a list of pairs"):
        read_pairs(tmp_path / "c", images=tmp_path)
