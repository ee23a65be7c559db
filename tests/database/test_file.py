"""Making, checking and locking the database file, and the tables that are added to it."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pycolmap
import pytest

from d2sfm.database import FeatureStore, create_database, exclusive, require_database, working_copy
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.tables import OUR_TABLES, create_our_tables, tables


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


def test_our_tables_are_made_once_and_pycolmap_works_beside_them(database):
    for _ in range(2):
        with Connection(database) as connection:
            create_our_tables(connection)
            assert OUR_TABLES.keys() <= tables(connection)
    with open_pycolmap(database) as colmap:
        colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
        colmap.clear_all_tables()
        assert colmap.num_cameras() == 0


def test_the_lock_keeps_a_second_run_out_and_leaves_no_file(database):
    with exclusive(database):
        with pytest.raises(RuntimeError, match=r"db\.db is in use by another run of d2sfm"), exclusive(database):
            pass
        held = "from d2sfm.database import exclusive\nwith exclusive('db.db'): pass"
        other = subprocess.run(
            [sys.executable, "-c", held], cwd=database.parent, env=in_this_checkout(), capture_output=True, text=True
        )
        assert "RuntimeError: db.db is in use by another run of d2sfm" in other.stderr
        assert (database.parent / "db.db.lock").exists()
    assert os.listdir(database.parent) == ["db.db"]
    with exclusive(database):
        pass


def test_the_lock_of_a_link_is_that_of_its_file(database):
    link = database.parent / "link.db"
    link.symlink_to(database)
    with exclusive(database), pytest.raises(RuntimeError, match=r"link\.db is in use"), exclusive(link):
        pass


def test_the_lock_is_given_back_after_an_exception(database):
    with pytest.raises(ZeroDivisionError), exclusive(database):
        raise ZeroDivisionError
    with exclusive(database):
        pass


def test_a_killed_run_locks_nobody_out(database):
    killed = (
        "import os, signal\nfrom d2sfm.database import exclusive\n"
        "with exclusive('db.db'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed], cwd=database.parent, env=in_this_checkout(), check=False)
    assert (database.parent / "db.db.lock").exists()
    with exclusive(database):
        pass
    assert os.listdir(database.parent) == ["db.db"]


def test_a_lock_file_that_is_removed_between_opening_and_locking_is_not_taken_for_the_lock(database, monkeypatch):
    """The run before removes its lock file just after we opened it: the lock must be on a file that others find."""
    lock = database.parent / "db.db.lock"
    lock.touch()
    real_open = os.open

    def open_and_lose(path, *arguments):
        file = real_open(path, *arguments)
        lock.unlink()
        return file

    monkeypatch.setattr(os, "open", open_and_lose)
    with pytest.raises(RuntimeError, match="in use"), exclusive(database):
        pass
    monkeypatch.undo()
    with exclusive(database):
        assert lock.exists()
        with pytest.raises(RuntimeError, match="in use"), exclusive(database):
            pass


def test_another_thread_is_kept_out_and_may_give_the_lock_back(database):
    held = exclusive(database)
    with ThreadPoolExecutor(1) as other:
        other.submit(held.__enter__).result()
        with pytest.raises(RuntimeError, match="in use"), exclusive(database):
            pass
    held.__exit__(None, None, None)
    with exclusive(database):
        pass


def test_a_file_of_the_users_own_is_no_lock_and_stays_as_it_is(database):
    (database.parent / "db.db.lock").write_bytes(b"mine")
    with (
        pytest.raises(
            RuntimeError, match=r"db\.db can't be locked: .*db\.db\.lock has 4 bytes, expected an empty file"
        ),
        exclusive(database),
    ):
        pass
    assert (database.parent / "db.db.lock").read_bytes() == b"mine"


def test_a_folder_in_place_of_the_lock_is_named(database):
    (database.parent / "db.db.lock").mkdir()
    with pytest.raises(RuntimeError, match=r"db\.db can't be locked: .*directory"), exclusive(database):
        pass
    assert (database.parent / "db.db.lock").is_dir()


def in_this_checkout():
    """Environment in which another Python finds the package of these tests."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
