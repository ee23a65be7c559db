"""Making, checking and copying the database file."""

import os
import sqlite3

import numpy as np
import pycolmap
import pytest

from d2sfm.database import FeatureStore, create_database, exclusive, require_database, working_copy
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.tables import tables


@pytest.fixture
def database(tmp_path):
    create_database(tmp_path / "db.db")
    return tmp_path / "db.db"


def test_a_new_database_is_colmaps(tmp_path):
    path = tmp_path / "db.db"
    create_database(path)
    assert os.listdir(tmp_path) == ["db.db"]
    require_database(path)
    with open_pycolmap(path) as colmap:
        assert colmap.num_images() == 0


def test_an_existing_database_keeps_its_rows(database):
    with open_pycolmap(database) as colmap:
        colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
    create_database(database)
    with open_pycolmap(database) as colmap:
        assert colmap.num_cameras() == 1


def test_a_copy_holds_what_the_database_does_and_replaces_nothing(database, tmp_path):
    with open_pycolmap(database) as colmap:
        colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
    working_copy(database, tmp_path / "copy.db")
    with open_pycolmap(tmp_path / "copy.db") as colmap:
        assert colmap.num_cameras() == 1
    with FeatureStore(tmp_path / "copy.db") as store:
        store.notes.write("done", "half")
    working_copy(database, tmp_path / "copy.db")
    with FeatureStore(tmp_path / "copy.db") as store:
        assert store.notes.read("done") == "half"
    with pytest.raises(RuntimeError, match="exists already and is no copy of"):
        working_copy(tmp_path / "copy.db", database)
    with exclusive(database), pytest.raises(RuntimeError, match="in use by another run"):
        working_copy(database, tmp_path / "second.db")
    with pytest.raises(FileNotFoundError, match="no folder"):
        working_copy(database, tmp_path / "none" / "copy.db")
    with pytest.raises(FileNotFoundError, match="no database"):
        working_copy(tmp_path / "none.db", tmp_path / "other.db")
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "db.db"]


def test_a_copy_that_lacks_later_matches_is_not_gone_on_with(database, tmp_path):
    working_copy(database, tmp_path / "copy.db")
    with open_pycolmap(database) as colmap:
        colmap.write_matches(1, 2, np.array([[0, 0]], np.uint32))
    with pytest.raises(
        RuntimeError, match=r"copy\.db was copied from .* before 1 of its pairs were matched: remove it"
    ):
        working_copy(database, tmp_path / "copy.db")


def test_an_empty_file_becomes_a_database(tmp_path):
    (tmp_path / "db.db").touch()
    create_database(tmp_path / "db.db")
    require_database(tmp_path / "db.db")


def test_an_older_database_gets_the_tables_that_it_lacks(database):
    connection = sqlite3.connect(database)
    connection.executescript("DROP TABLE frame_data; DROP TABLE frames; PRAGMA user_version = 3900")
    connection.close()
    create_database(database)
    with Connection(database) as connection:
        assert {"frames", "frame_data"} <= tables(connection)


@pytest.mark.parametrize("check", [create_database, require_database, FeatureStore])
def test_files_that_are_no_database(tmp_path, check):
    (tmp_path / "text.db").write_text("no database\n" * 100)
    with pytest.raises(RuntimeError, match=r"text\.db is no COLMAP database$"):
        check(tmp_path / "text.db")
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE images (name)")
    connection.close()
    with pytest.raises(RuntimeError, match=r"other\.db is no COLMAP database: it has no table cameras, descriptors"):
        check(tmp_path / "other.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(RuntimeError, match=r"folder\.db is no COLMAP database: it is no file"):
        check(tmp_path / "folder.db")
    assert (tmp_path / "text.db").read_text() == "no database\n" * 100
    assert sorted(os.listdir(tmp_path)) == ["folder.db", "other.db", "text.db"]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no database .*db\.db"):
        require_database(tmp_path / "db.db")
    with pytest.raises(FileNotFoundError, match=r"no folder .*none for the database db\.db"):
        create_database(tmp_path / "none" / "db.db")
    with (
        pytest.raises(FileNotFoundError, match=r"no folder .*none for the database db\.db"),
        exclusive(tmp_path / "none" / "db.db"),
    ):
        pass
    assert os.listdir(tmp_path) == []
