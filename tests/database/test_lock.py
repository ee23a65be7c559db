"""The lock that keeps other runs away from a database."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from d2sfm.database import create_database, exclusive


@pytest.fixture
def database(tmp_path):
    create_database(tmp_path / "db.db")
    return tmp_path / "db.db"


@pytest.mark.slow
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


@pytest.mark.slow
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
