"""The command d2sfm export and its options."""

import h5py
import pytest
from support.transfer_files import NAMES, write_database, write_photographs

from d2sfm.cli import main
from d2sfm.formats.npz_mat import read_features


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_database(tmp_path / "views.db", write_photographs(tmp_path / "photographs"))


def export(*arguments):
    return main(["export", "--database", "views.db", *map(str, arguments)])


def test_for_hloc(database, tmp_path, capsys):
    assert export() == 0
    assert capsys.readouterr().out == "export: 3 images, 18 keypoints, 3 pairs, 15 matches in exported\n"
    with h5py.File("exported/features.h5") as file:
        assert all(name in file for name in NAMES)
    with h5py.File("exported/matches.h5") as file:
        assert file["a.png/sub-a.png/matches0"][:].tolist() == [1, 0, 3, 4, -1, 5]
    assert len((tmp_path / "exported" / "pairs.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize(("kind", "said"), [("verified", "0 pairs, 0 matches"), ("none", "18 keypoints in out")])
def test_the_matches_that_are_written(database, tmp_path, capsys, kind, said):
    assert export("--matches", kind, "--output", "out") == 0
    assert said in capsys.readouterr().out
    assert (tmp_path / "out" / "matches.h5").exists() == (kind == "verified")


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_a_file_for_each_image(database, tmp_path, kind):
    assert export("--format", kind, "--output", tmp_path / "out", "--extension", ".feat", "--quiet") == 0
    assert [len(read_features(tmp_path / "out" / f"{name}.feat")) for name in NAMES] == [6, 6, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "npz", "--matches", "none"], "--matches goes with --format hloc, not with --format npz"),
        (["--extension", ".feat"], "--extension goes with --format npz or mat, not with --format hloc"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(database, tmp_path, capsys, arguments, message):
    assert export(*arguments) == 2
    assert capsys.readouterr().err == f"error: d2sfm export: {message}\n"
    assert not (tmp_path / "exported").exists()


def test_more_and_less_is_said(database, capsys):
    assert export("--quiet") == 0
    assert capsys.readouterr().out == ""
    assert main(["export", "--database", "nowhere.db", "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err
