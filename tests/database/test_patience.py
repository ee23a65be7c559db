"""Waiting for who holds the file, and the words for what SQLite refuses."""

import sqlite3

import cv2
import numpy as np
import pycolmap
import pytest
from support.database_contents import done_pairs
from support.held_database import another_writer, write_two_images
from support.helpers import textured_picture

from d2sfm.database import FeatureStore, MatchStore, import_photographs
from d2sfm.database import patience as patience_module
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.patience import named_errors, patiently


@pytest.fixture
def database(tmp_path):
    return write_two_images(tmp_path / "db.db")


def test_a_database_that_another_process_holds(database, monkeypatch):
    monkeypatch.setattr(patience_module, "BUSY_TIMEOUT_S", 0.1)
    words = r"db\.db is in use by another process"
    with another_writer(database):
        with FeatureStore(database) as store:
            assert list(store.images()) == ["a.jpg", "b.jpg"]
            with pytest.raises(RuntimeError, match=words):
                store.notes.write("key", "value")
        with MatchStore(database) as store:
            assert store.image_names() == {1: "a.jpg", 2: "b.jpg"}
        with pytest.raises(RuntimeError, match=words), open_pycolmap(database):
            pass
    with FeatureStore(database) as store:
        store.notes.write("key", "value")


def open_by_pycolmap(database):
    with open_pycolmap(database):
        pass


def photographs(folder):
    """A folder of two photographs."""
    folder.mkdir()
    for index, name in enumerate(("c.jpg", "d.jpg")):
        cv2.imwrite(str(folder / name), textured_picture(index, (64, 48)))
    return folder


WAYS_TO_WRITE = {
    "sqlite3": lambda database: FeatureStore(database).notes.write("key", "value"),
    "pycolmap": open_by_pycolmap,
    "import": lambda database: import_photographs(database, photographs(database.parent / "new"), ["c.jpg", "d.jpg"]),
}


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_who_finds_the_database_held_says_so_and_waits(database, way, caplog):
    with another_writer(database, for_s=1.0):
        WAYS_TO_WRITE[way](database)
    assert caplog.messages == [f"{database} is in use by another process: waiting up to 30 s"]


def test_a_pair_waits_until_another_process_has_written(database, caplog):
    with MatchStore(database) as store:
        with another_writer(database, for_s=1.0):
            store.write(1, 2, np.zeros((3, 2)), pycolmap.TwoViewGeometry())
        assert done_pairs(store, verified=True) == {(1, 2)}
    assert caplog.messages == [f"{database} is in use by another process: waiting up to 30 s"]


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_database_is_told_at_once_from_one_that_is_held(tmp_path, content, caplog):
    (tmp_path / "db.db").write_bytes(content)
    with pytest.raises(RuntimeError, match=r"db\.db is not a COLMAP database"), open_pycolmap(tmp_path / "db.db"):
        pass
    assert caplog.messages == []
    assert (tmp_path / "db.db").read_bytes() == content


def test_a_database_that_becomes_free_between_two_looks_is_opened(database):
    """Nobody holds it any more when the error of pycolmap is looked into."""
    answers = [RuntimeError("No registered database factory succeeded."), "open"]

    def action():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(database, action) == "open"


def test_a_pair_is_refused_while_another_process_writes_and_can_be_written_later(database, monkeypatch):
    monkeypatch.setattr(patience_module, "BUSY_TIMEOUT_S", 0.1)
    with MatchStore(database) as store:
        with another_writer(database), pytest.raises(RuntimeError, match=r"db\.db is in use by another process"):
            store.write(1, 2, np.zeros((3, 2)))
        assert done_pairs(store, verified=False) == set()
        store.write(1, 2, np.zeros((3, 2)))
        assert done_pairs(store, verified=False) == {(1, 2)}


def test_errors_of_other_kinds_pass_as_they_are(tmp_path):
    with pytest.raises(KeyError), named_errors(tmp_path / "db.db", sqlite3.Error):
        raise KeyError("other")
    with pytest.raises(RuntimeError, match=r"db\.db: strange$"), named_errors(tmp_path / "db.db", ValueError):
        raise ValueError("strange")
