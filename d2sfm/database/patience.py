"""Errors of SQLite: waiting for the process that holds the file, and one line that names the file."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

BUSY_TIMEOUT_S = 30.0  # COLMAP's own writes take less; who holds the file longer is at work on it
PAUSE_S, MOST_LOOKS = 0.2, 10  # between two tries

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_HELD = "is in use by another process: let it finish, or close the file there, then run the command again"
_REFUSED = "No registered database factory succeeded"  # all that pycolmap says of a file that it can't open
_LOCKED = ("database is locked", "database table is locked")
_NOT_WRITTEN = tuple(
    f"SQLITE_IOERR_{what}" for what in ("WRITE", "FSYNC", "DIR_FSYNC", "TRUNCATE", "SHMSIZE", "SHMMAP")
)
_MESSAGES = {  # by what SQLite says: pycolmap passes on the text, not the code
    **dict.fromkeys(_LOCKED, _HELD),
    "attempt to write a readonly database": "can't be written: it is read-only",
    "database or disk is full": "can't be written: the disk is full",
    **dict.fromkeys(_NOT_WRITTEN, "can't be written: the disk is full, over a quota or damaged"),
    "disk I/O error": "can't be read: the disk is damaged",
    "file is not a database": "is not a COLMAP database",
    "unable to open database file": "can't be opened",
    _REFUSED: "can't be opened by pycolmap",
}


@contextmanager
def named_errors(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of these kinds into a RuntimeError of one line that names the database."""
    try:
        yield
    except kinds as error:
        if str(error).startswith(f"{path} "):
            raise
        text = f"{getattr(error, 'sqlite_errorname', '')} {error}"
        found = next((ours for theirs, ours in _MESSAGES.items() if theirs in text), None)
        raise RuntimeError(f"{path} {found}" if found else f"{path}: {error}") from error


def patiently(path: Path, action: Callable[[], Result]) -> Result:
    """Return what the action returns; try again for ``BUSY_TIMEOUT_S`` seconds while another process holds the
    database.

    An action that fails must have changed nothing, or do the same again. Raises what it raises.
    """
    give_up, found_free = None, 0
    while True:
        try:
            return action()
        except (sqlite3.Error, RuntimeError, ValueError) as error:
            is_held = _tells_of_another_process(path, error)
            if is_held is None:
                raise
            found_free = 0 if is_held else found_free + 1
            if found_free > MOST_LOOKS:  # others that write often let go in between: only then is it another fault
                raise
            if is_held and give_up is None:
                give_up = time.monotonic() + BUSY_TIMEOUT_S
                logger.warning("%s is in use by another process: waiting up to %g s", path, BUSY_TIMEOUT_S)
            elif is_held and time.monotonic() > give_up:
                raise type(error)(_LOCKED[0]) from error
        time.sleep(min(PAUSE_S, BUSY_TIMEOUT_S))


def _tells_of_another_process(path: Path, error: Exception) -> bool | None:
    """True if the error means that another process holds the file, False if that has ended, else None."""
    if any(locked in str(error) for locked in _LOCKED):
        return True
    return _is_held(path) if _REFUSED in str(error) else None


def _is_held(path: Path) -> bool:
    """Whether another process keeps pycolmap from opening the file. RuntimeError for any other error of SQLite."""
    try:
        uri = f"{Path(path).resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if any(locked in str(error) for locked in _LOCKED):
            return True
        raise RuntimeError(str(error)) from error
    return False
