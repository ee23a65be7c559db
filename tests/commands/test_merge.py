"""The command d2sfm merge and its options."""

import pytest
from support.transfer_files import NAMES, write_database, write_photographs

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore


@pytest.fixture
def databases(tmp_path, monkeypatch):
    """The names of three databases in the folder of the run, each with photographs of their own."""
    monkeypatch.chdir(tmp_path)
    for key in "abc":
        names = [f"{key}/{name}" for name in NAMES]
        write_database(tmp_path / f"{key}.db", write_photographs(tmp_path / "photographs", names), names)
    return ["a.db", "b.db", "c.db"]


@pytest.mark.slow
def test_three_databases(databases, capsys):
    assert main(["merge", *databases, "--output", "all.db"]) == 0
    assert capsys.readouterr().out == "merge: 9 images of 3 databases in all.db\n"
    with MatchStore("all.db") as store:
        assert len(store.done_pairs(verified=False)) == 9
    assert main(["match", "--database", "all.db", "--no-verify", "--quiet"]) == 0
    with MatchStore("all.db") as store:
        assert len(store.done_pairs(verified=False)) == 36


def test_photographs_in_different_folders(databases, tmp_path, capsys):
    with FeatureStore("b.db") as store:
        store.notes.write("images", "/elsewhere")
    assert main(["merge", *databases, "--output", "all.db"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "b.db in /elsewhere: give --images, a folder where all of them are" in error
    assert main(["merge", *databases, "--output", "all.db", "--images", "photographs"]) == 0
    with FeatureStore("all.db") as store:
        assert store.notes.read("images") == str(tmp_path / "photographs")


def test_one_database_is_no_merge(databases, tmp_path, capsys):
    assert main(["merge", "a.db", "--output", "all.db"]) == 2
    assert "expected two or more databases, each once" in capsys.readouterr().err
    assert not (tmp_path / "all.db").exists()


def test_more_and_less_is_said(databases, capsys):
    assert main(["merge", *databases, "--output", "all.db", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["merge", *databases, "--output", "all.db", "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err
