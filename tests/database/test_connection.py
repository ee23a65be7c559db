"""The two ways into the file, one at a time."""

import os
import subprocess
import sys

import numpy as np
import pycolmap
import pytest
from support.held_database import another_writer, write_two_images

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database import FeatureStore, MatchStore, create_database, import_photographs
from d2sfm.database import connection as connection_module
from d2sfm.database.connection import Connection, open_pycolmap


@pytest.fixture
def database(tmp_path):
    return write_two_images(tmp_path / "db.db")


def test_only_one_way_in_at_a_time(database):
    ways = [FeatureStore, MatchStore, Connection, lambda path: open_pycolmap(path)]
    for outer in ways:
        with outer(database):
            for inner in ways:
                with pytest.raises(RuntimeError, match=r"db\.db is already open in this process"), inner(database):
                    pass
            with pytest.raises(RuntimeError, match="already open"):
                import_photographs(database, database.parent, ["a.jpg"])
    with Connection(database):
        pass


def test_a_file_that_may_not_be_written(database):
    with Connection(database) as connection:
        connection.rows("PRAGMA query_only = ON")  # permissions would not stop the superuser
        with pytest.raises(RuntimeError, match=r"db\.db can't be written: it is read-only"):
            connection.rows("DELETE FROM images")


@pytest.mark.parametrize("place", ["db.db", "."])
def test_pycolmap_needs_to_write(database, monkeypatch, place):
    place = (database.parent / place).resolve()
    monkeypatch.setattr(os, "access", lambda path, mode: path != place)
    with (
        pytest.raises(RuntimeError, match=f"{database} can't be opened by pycolmap: {place} is read-only"),
        open_pycolmap(database),
    ):
        pass


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


@pytest.mark.slow
def test_a_pair_that_does_not_fit_gives_one_line_and_the_process_goes_on(database):
    """In a process of its own: after a delete, pycolmap would end it where the file can't be copied at closing."""
    script = (
        "import numpy as np, pycolmap, resource, sys\nfrom d2sfm.database import MatchStore\n"
        "store = MatchStore(sys.argv[1])\nstore.write(1, 2, np.zeros((3, 2)), pycolmap.TwoViewGeometry())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "store.write(1, 2, np.zeros((3, 2)), pycolmap.TwoViewGeometry())\n"
        "try:\n    store.write(1, 3, np.zeros((100_000, 2)))\nexcept RuntimeError as error:\n    print(error)\n"
        "print(store.done_pairs(verified=True).tolist())\nstore.close()"
    )
    with open_pycolmap(database) as colmap:
        colmap.write_image(pycolmap.Image(name="c.jpg", camera_id=1))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script, database], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    error, done = run.stdout.splitlines()
    assert error == f"{database} can't be written: the disk is full, over a quota or damaged"
    assert done == f"[{pycolmap.image_pair_to_pair_id(1, 2)}]"


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
    with MatchStore(path) as store:
        assert store.image_names() == {}
    assert os.listdir(tmp_path) == [path.name]


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
