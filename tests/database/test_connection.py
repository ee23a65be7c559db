"""The two ways into the file, and the words for what SQLite refuses."""

import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager

import cv2
import numpy as np
import pycolmap
import pytest
from support.helpers import textured_picture

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database import FeatureStore, PairStore, create_database, import_photographs
from d2sfm.database import connection as connection_module
from d2sfm.database.connection import Connection, named_errors, open_pycolmap, patiently


@pytest.fixture
def database(tmp_path):
    """A database of two images."""
    create_database(tmp_path / "db.db")
    with open_pycolmap(tmp_path / "db.db") as colmap:
        camera = pycolmap.Camera(model="PINHOLE", width=64, height=48, params=[60, 60, 32, 24])
        camera_id = colmap.write_camera(camera)
        for name in ("a.jpg", "b.jpg"):
            colmap.write_image(pycolmap.Image(name=name, camera_id=camera_id))
    return tmp_path / "db.db"


@contextmanager
def another_writer(database, for_s=None):
    """Another process in the middle of a write, until the end of the block or for some seconds."""
    wait = "sys.stdin.readline()" if for_s is None else f"time.sleep({for_s})"
    script = (
        "import sqlite3, sys, time\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"connection.execute('BEGIN IMMEDIATE')\nprint(flush=True)\n{wait}"
    )
    command = [sys.executable, "-c", script, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            if for_s is None:
                process.stdin.write("\n")


def test_only_one_way_in_at_a_time(database):
    ways = [FeatureStore, PairStore, Connection, lambda path: open_pycolmap(path)]
    for outer in ways:
        with outer(database):
            for inner in ways:
                with pytest.raises(RuntimeError, match=r"db\.db is already open in this process"), inner(database):
                    pass
            with pytest.raises(RuntimeError, match="already open"):
                import_photographs(database, database.parent, ["a.jpg"])
    with Connection(database):
        pass


def test_a_database_that_another_process_holds(database, monkeypatch):
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_S", 0.1)
    words = r"db\.db is held by another process"
    with another_writer(database):
        with FeatureStore(database) as store:
            assert list(store.images()) == ["a.jpg", "b.jpg"]
            with pytest.raises(RuntimeError, match=words):
                store.notes.write("key", "value")
        with pytest.raises(RuntimeError, match=words):
            PairStore(database)
        with pytest.raises(RuntimeError, match=words):
            create_database(database)
    with FeatureStore(database) as store:
        store.notes.write("key", "value")


def photographs(folder):
    """A folder of two photographs."""
    folder.mkdir()
    for index, name in enumerate(("c.jpg", "d.jpg")):
        cv2.imwrite(str(folder / name), textured_picture(index, (64, 48)))
    return folder


WAYS_TO_WRITE = {
    "sqlite3": lambda database: FeatureStore(database).notes.write("key", "value"),
    "pycolmap": lambda database: PairStore(database).close(),
    "import": lambda database: import_photographs(database, photographs(database.parent / "new"), ["c.jpg", "d.jpg"]),
}


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_who_finds_the_database_held_says_so_and_waits(database, way, caplog):
    with another_writer(database, for_s=1.0):
        WAYS_TO_WRITE[way](database)
    assert caplog.messages == [f"{database} is held by another process: waiting for it, up to 30 s"]


def test_a_pair_waits_until_another_process_has_written(database, caplog):
    with PairStore(database) as store:
        with another_writer(database, for_s=1.0):
            store.write(1, 2, np.zeros((3, 2)), pycolmap.TwoViewGeometry())
        assert store.done_pairs(verified=True) == {(1, 2)}
    assert caplog.messages == [f"{database} is held by another process: waiting for it, up to 30 s"]


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_database_is_told_at_once_from_one_that_is_held(tmp_path, content, caplog):
    (tmp_path / "db.db").write_bytes(content)
    with pytest.raises(RuntimeError, match=r"db\.db is no COLMAP database"), open_pycolmap(tmp_path / "db.db"):
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
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_S", 0.1)
    with PairStore(database) as store:
        with another_writer(database), pytest.raises(RuntimeError, match=r"db\.db is held by another process"):
            store.write(1, 2, np.zeros((3, 2)))
        assert store.done_pairs(verified=False) == set()
        store.write(1, 2, np.zeros((3, 2)))
        assert store.done_pairs(verified=False) == {(1, 2)}


def test_a_file_that_may_not_be_written(database):
    with Connection(database) as connection:
        connection.rows("PRAGMA query_only = ON")  # permissions would not stop the superuser
        with pytest.raises(RuntimeError, match=r"db\.db can't be written: it is read-only"):
            connection.rows("DELETE FROM images")


@pytest.mark.parametrize("place", ["db.db", "."])
def test_pycolmap_needs_to_write(database, monkeypatch, place):
    place = (database.parent / place).resolve()
    monkeypatch.setattr(os, "access", lambda path, mode: path != place)
    with pytest.raises(RuntimeError, match=f"{database} can't be opened by pycolmap: {place} is read-only"):
        PairStore(database)


def test_a_full_disk(database):
    def fill(connection):
        with connection.transaction():
            connection.rows("INSERT INTO filler VALUES ('first')")
            connection.rows("INSERT INTO filler VALUES (zeroblob(1000000))")

    with Connection(database) as connection:
        connection.rows("CREATE TABLE filler (data)")
        connection.rows("PRAGMA max_page_count = 10")
        with pytest.raises(RuntimeError, match=r"db\.db can't be written: the disk is full"):
            fill(connection)
        assert connection.rows("SELECT * FROM filler") == []


def test_a_pair_that_does_not_fit_gives_one_line_and_the_process_goes_on(database):
    """In a process of its own: after a delete, pycolmap would end it where the file can't be copied at closing."""
    script = (
        "import numpy as np, pycolmap, resource, sys\nfrom d2sfm.database import PairStore\n"
        "store = PairStore(sys.argv[1])\nstore.write(1, 2, np.zeros((3, 2)), pycolmap.TwoViewGeometry())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "store.write(1, 2, np.zeros((3, 2)), pycolmap.TwoViewGeometry())\n"
        "try:\n    store.write(1, 3, np.zeros((100_000, 2)))\nexcept RuntimeError as error:\n    print(error)\n"
        "print(store.done_pairs(verified=True))\nstore.close()"
    )
    with open_pycolmap(database) as colmap:
        colmap.write_image(pycolmap.Image(name="c.jpg", camera_id=1))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script, database], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    error, done = run.stdout.splitlines()
    assert error == f"{database} can't be read or written: the disk is full, over a quota or damaged"
    assert done == "{(1, 2)}"


def test_a_transaction_is_whole_or_nothing(database):
    def insert(connection, *numbers, then=None):
        with connection.transaction():
            connection.run_many("INSERT INTO items VALUES (?)", [(number,) for number in numbers])
            if then:
                raise then

    with Connection(database) as connection:
        connection.rows("CREATE TABLE items (number INTEGER PRIMARY KEY)")
        insert(connection, 1, 2)
        with pytest.raises(KeyboardInterrupt):
            insert(connection, 3, then=KeyboardInterrupt)
        with pytest.raises(RuntimeError, match=r"db\.db: UNIQUE constraint failed"):
            insert(connection, 4, 1)
        assert connection.rows("SELECT * FROM items") == [(1,), (2,)]


def test_blobs_are_written_and_read_in_pieces_within_a_transaction(database, monkeypatch):
    monkeypatch.setattr(connection_module, "PIECE_BYTES", 7)
    array = np.arange(20, dtype=np.float32).reshape(4, 5)
    with Connection(database) as connection:
        connection.rows("CREATE TABLE items (number INTEGER PRIMARY KEY, data BLOB)")
        connection.rows("INSERT INTO items VALUES (3, zeroblob(80))")
        with connection.transaction():
            connection.write_blob("items", "data", 3, [array[:1], array[1:].T.copy().T])
        assert connection.rows("SELECT data FROM items") == [(array.tobytes(),)]
        out = np.empty_like(array)
        connection.read_blob("items", "data", 3, out)
        assert np.array_equal(out, array)
        with pytest.raises(KeyboardInterrupt), connection.transaction():
            connection.write_blob("items", "data", 3, interrupted_after(np.zeros(2)))
        assert connection.rows("SELECT data FROM items") == [(array.tobytes(),)]
        with pytest.raises(RuntimeError, match=r"db\.db: row 3 of items has 80 bytes, expected 4"):
            connection.read_blob("items", "data", 3, np.empty(1, np.float32))
        with pytest.raises(RuntimeError, match=r"db\.db: no such rowid: 4"):
            connection.read_blob("items", "data", 4, out)
        with pytest.raises(RuntimeError, match=r"db\.db: no such rowid: 4"):
            connection.write_blob("items", "data", 4, [array])


def interrupted_after(piece):
    yield piece
    raise KeyboardInterrupt


def test_a_deferred_transaction_reads_while_another_process_writes(database):
    with Connection(database) as connection, another_writer(database), connection.transaction("DEFERRED"):
        assert connection.rows("SELECT count(*) FROM images") == [(2,)]


def test_foreign_keys_are_on_and_missing_files_are_not_made(database, tmp_path):
    with Connection(database) as connection:
        assert connection.rows("PRAGMA foreign_keys") == [(1,)]
        assert connection.rows("PRAGMA journal_mode") == [("wal",)]
    for _ in range(2):  # the first failure must not leave the path in use
        with pytest.raises(RuntimeError, match=r"other\.db can't be opened"):
            Connection(tmp_path / "other.db")
    assert os.listdir(tmp_path) == ["db.db"]


def test_names_with_characters_of_their_own(tmp_path):
    path = tmp_path / "50% of? #Füße&mode=ro.db"
    create_database(path)
    with FeatureStore(path) as store:
        store.notes.write("key", "value")
    with PairStore(path) as store:
        assert store.image_names() == {}
    assert os.listdir(tmp_path) == [path.name]


def test_errors_of_other_kinds_pass_as_they_are(tmp_path):
    with pytest.raises(KeyError), named_errors(tmp_path / "db.db", sqlite3.Error):
        raise KeyError("other")
    with pytest.raises(RuntimeError, match=r"db\.db: strange$"), named_errors(tmp_path / "db.db", ValueError):
        raise ValueError("strange")


def test_pycolmap_is_quiet_and_loud_again(tmp_path, capfd):
    (tmp_path / "db.db").write_text("no database")
    level = pycolmap.logging.minloglevel
    with pytest.raises(RuntimeError), quiet_pycolmap():
        pycolmap.Database.open(tmp_path / "db.db")
    assert capfd.readouterr().err == ""
    assert pycolmap.logging.minloglevel == level
    with pytest.raises(RuntimeError):
        pycolmap.Database.open(tmp_path / "db.db")
    assert "not a database" in capfd.readouterr().err
