"""Making, checking and copying the database file."""

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from filelock import FileLock

from d2sfm.database import FeatureStore, create_database, exclusive, require_database, working_copy
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.file import beside
from d2sfm.database.tables import OUR_TABLES, tables
from d2sfm.exchange.merge import merge_databases


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


@pytest.mark.parametrize("model", ["sparse/0", "sparse", ".", "other"])
def test_a_models_database_is_the_nearest_one(tmp_path, monkeypatch, model):
    for folder in ("here", "there/sparse/0"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    there = tmp_path / "there" / model
    assert beside(there, "db.db") is None
    Path("db.db").touch()
    assert beside(there, "db.db") == beside(None, "db.db") == Path("db.db")
    (tmp_path / "there" / "db.db").touch()
    assert beside(there, "db.db").samefile("../there/db.db")
    assert beside(Path(model), "db.db") == Path("db.db")  # beside the model that is here


def test_an_existing_database_keeps_its_rows(database):
    with open_pycolmap(database) as colmap:
        colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
    create_database(database)
    with open_pycolmap(database) as colmap:
        assert colmap.num_cameras() == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_empty_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a device or a pipe, expected the name of a file"):
        create_database(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


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
    with pytest.raises(RuntimeError, match="exists already and is not a copy of"):
        working_copy(tmp_path / "copy.db", database)
    with exclusive(database), pytest.raises(RuntimeError, match="in use by another run"):
        working_copy(database, tmp_path / "second.db")
    with pytest.raises(FileNotFoundError, match="no folder"):
        working_copy(database, tmp_path / "none" / "copy.db")
    with pytest.raises(FileNotFoundError, match="no database"):
        working_copy(tmp_path / "none.db", tmp_path / "other.db")
    with pytest.raises(ValueError, match=r"udce9\.db' is not UTF-8, as texts in a database must be: rename the file"):
        working_copy(database, tmp_path / os.fsdecode(b"caf\xe9.db"))
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "db.db"]


def test_a_copy_that_lacks_later_matches_is_not_gone_on_with(database, tmp_path):
    working_copy(database, tmp_path / "copy.db")
    with open_pycolmap(database) as colmap:
        colmap.write_matches(1, 2, np.array([[0, 0]], np.uint32))
    with pytest.raises(RuntimeError, match=r"copy\.db was copied from .* before matches of it changed: delete it, or"):
        working_copy(database, tmp_path / "copy.db")


def test_a_copy_whose_own_matches_changed_is_gone_on_with(database, tmp_path):
    """Refinement adds matches of continued tracks, and takes away those that it refutes."""
    with open_pycolmap(database) as colmap:
        colmap.write_matches(1, 2, np.array([[0, 0]], np.uint32))
    working_copy(database, tmp_path / "copy.db")
    with open_pycolmap(tmp_path / "copy.db") as colmap:
        colmap.delete_matches(1, 2)
        colmap.write_matches(1, 2, np.array([[0, 0], [1, 1]], np.uint32))
    working_copy(database, tmp_path / "copy.db")
    with open_pycolmap(tmp_path / "copy.db") as colmap:
        assert len(colmap.read_matches(1, 2)) == 2


def test_an_empty_file_becomes_a_database(tmp_path):
    (tmp_path / "db.db").touch()
    create_database(tmp_path / "db.db")
    require_database(tmp_path / "db.db")


@pytest.mark.parametrize("check", [require_database, FeatureStore])
def test_an_empty_file_is_told_and_stays_for_extract(tmp_path, check):
    path = tmp_path / "db.db"
    path.touch()
    with pytest.raises(
        RuntimeError, match=r"db\.db is an empty file, .*: d2sfm extract --images DIR .*db\.db makes one"
    ):
        check(path)
    create_database(path)
    check(path)


def test_one_missing_table_is_one(database):
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE two_view_geometries")
    connection.close()
    with pytest.raises(RuntimeError, match=r": it lacks the table two_view_geometries: give the database of these"):
        require_database(database)


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
    with pytest.raises(RuntimeError, match=r"text\.db is not a COLMAP database$"):
        check(tmp_path / "text.db")
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE images (name)")
    connection.close()
    expected = r"other\.db is not a COLMAP database: it lacks the tables cameras, descriptors, .*: give the database of"
    with pytest.raises(RuntimeError, match=expected):
        check(tmp_path / "other.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(RuntimeError, match=r"folder\.db is a folder, expected a COLMAP database: d2sfm extract"):
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


def leave_log(path):
    """Leave beside the name, of which there is no database, what a killed run left beside one that was there."""
    create_database(path)
    with Connection(path) as connection:
        connection.rows("CREATE TABLE of_another (x)")
        connection.run_many("INSERT INTO of_another VALUES (zeroblob(5000))", [()] * 10)
        log = Path(f"{path}-wal").read_bytes()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    Path(f"{path}-journal").write_bytes(b"journal")


@pytest.mark.parametrize("way", ["new", "copy", "merged"])
def test_what_is_left_beside_a_name_gets_into_no_database_that_takes_it(database, tmp_path, way):
    path = tmp_path / "new.db"
    leave_log(path)
    create_database(tmp_path / "other.db")
    if way == "new":
        create_database(path)
    elif way == "copy":
        working_copy(database, path)
    else:
        merge_databases([database, tmp_path / "other.db"], path)
    with Connection(path) as connection:
        assert connection.rows("PRAGMA integrity_check") == [("ok",)]
        assert tables(connection) - OUR_TABLES.keys() == tables_of(database)
        assert connection.rows("PRAGMA journal_mode") == [("wal",)]
    assert sorted(os.listdir(tmp_path)) == ["db.db", "new.db", "other.db"]


def tables_of(path):
    with Connection(path) as connection:
        return tables(connection)


def test_the_log_of_a_database_that_is_there_stays(database, tmp_path):
    """A killed run's: what it wrote last is in it."""
    with Connection(database) as connection:
        connection.rows("CREATE TABLE last (x)")
        for suffix in ("", "-wal"):
            shutil.copy(f"{database}{suffix}", tmp_path / f"killed.db{suffix}")
    create_database(tmp_path / "killed.db")
    assert "last" in tables_of(tmp_path / "killed.db")


@pytest.mark.parametrize("way", [create_database, lambda path: working_copy(path.with_name("db.db"), path)])
def test_a_name_that_another_run_is_about_to_give_is_not_taken(database, tmp_path, way):
    with FileLock(tmp_path / "new.db.lock"), pytest.raises(RuntimeError, match=r"new\.db is in use by another run"):
        way(tmp_path / "new.db")
    with exclusive(tmp_path / "new.db"):
        create_database(tmp_path / "new.db")  # of this process
