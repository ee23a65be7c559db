"""Both ways into COLMAP's database: Python's sqlite3 and pycolmap, never at the same time in one process.

They carry two SQLite libraries whose file locks do not see each other inside one process: with both open, rows are
lost without an error. So everything that touches the file goes through ``Connection`` or ``open_pycolmap``, and
``sole_use`` lets one of them in at a time. Errors of either become a RuntimeError of one line that names the file.

Other runs of d2sfm are kept out by a lock of their own (``schema.exclusive``); COLMAP's programs know only SQLite's.
"""

import errno
import logging
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.system import reserve

PIECE_BYTES = 4 << 20  # in which large blobs are written and read
BUSY_TIMEOUT_S = 30.0  # COLMAP's own writes take less; who holds the file longer is at work on it
PAUSE_S, MOST_LOOKS = 0.2, 10  # between two tries

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_in_use: set[Path] = set()

_HELD = "is held by another process: let it finish, or close the file there, and run this again"
_REFUSED = "No registered database factory succeeded"  # all that pycolmap says of a file that it can't open
_LOCKED = ("database is locked", "database table is locked")
_MESSAGES = {  # by what SQLite says: pycolmap passes on the text, not the code
    **dict.fromkeys(_LOCKED, _HELD),
    "attempt to write a readonly database": "can't be written: it is read-only",
    "database or disk is full": "can't be written: the disk is full",
    "disk I/O error": "can't be read or written: the disk is full, over a quota or damaged",
    "file is not a database": "is no COLMAP database",
    "unable to open database file": "can't be opened",
    _REFUSED: "can't be opened by pycolmap",
}


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Keep the rest of this process away from the database. Raises RuntimeError where it is open already."""
    resolved = Path(path).resolve()
    if resolved in _in_use:
        raise RuntimeError(f"{path} is already open in this process: close it before it is opened again")
    _in_use.add(resolved)
    try:
        yield
    finally:
        _in_use.remove(resolved)


@contextmanager
def named_errors(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of these kinds into a RuntimeError of one line that names the database, unless they do."""
    try:
        yield
    except kinds as error:
        if str(error).startswith(f"{path} "):
            raise
        found = next((ours for theirs, ours in _MESSAGES.items() if theirs in str(error)), None)
        raise RuntimeError(f"{path} {found}" if found else f"{path}: {error}") from error


def patiently(path: Path, action: Callable[[], Result]) -> Result:
    """What the action returns. Tried again for ``BUSY_TIMEOUT_S`` seconds while another process holds the database.

    The action changes nothing where it fails, or does the same again. Raises what it raises.
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
                logger.warning("%s is held by another process: waiting for it, up to %g s", path, BUSY_TIMEOUT_S)
            elif is_held and time.monotonic() > give_up:
                raise type(error)(_LOCKED[0]) from error
        time.sleep(min(PAUSE_S, BUSY_TIMEOUT_S))


def _tells_of_another_process(path: Path, error: Exception) -> bool | None:
    """Whether the error tells that another process holds the file; False where it did but does no more, else None."""
    if any(locked in str(error) for locked in _LOCKED):
        return True
    return _is_held(path) if _REFUSED in str(error) else None


def _is_held(path: Path) -> bool:
    """Whether another process keeps pycolmap from opening the file. RuntimeError of what else SQLite finds wrong."""
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


def require_room(path: Path, size: int) -> None:
    """Raise RuntimeError where so many bytes more do not fit beside the database: pycolmap, where it makes or imports
    something, ends the process when the disk is full."""
    try:
        with TemporaryFile(dir=Path(path).resolve().parent) as file:
            reserve(file, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return  # of a file system that can't tell, or where nothing can be written: that has words of its own
        raise RuntimeError(
            f"{path} can't be written: the disk is full or over a quota, {math.ceil(size / 1e6)} MB are needed"
        ) from error


@contextmanager
def open_pycolmap(path: Path) -> Iterator[pycolmap.Database]:
    """pycolmap's Database, closed at the end. Raises RuntimeError where it can't be opened or closed.

    pycolmap makes a missing file and migrates an old one. Even to read it needs a file and a folder to write to, and
    that nobody else is in the middle of a write: see ``patiently``.
    """
    for place in (Path(path), Path(path).resolve().parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise RuntimeError(f"{path} can't be opened by pycolmap: {place} is read-only")
    with sole_use(path):
        with named_errors(path, RuntimeError), quiet_pycolmap():
            database = patiently(path, lambda: pycolmap.Database.open(path))
        try:
            yield database
        finally:
            with named_errors(path, RuntimeError):
                database.close()


class Connection:
    """One sqlite3 connection: statements outside of a transaction are on their own, errors name the file.

    Opening does not make a missing file. Raises RuntimeError where the file can't be opened, and every method does
    where SQLite refuses (held by another process, read-only, disk full, no database).
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        with ExitStack() as stack, named_errors(self.path, sqlite3.Error):
            stack.enter_context(sole_use(self.path))
            uri = f"{self.path.resolve().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=PAUSE_S, isolation_level=None)
            stack.callback(self._connection.close)
            self._connection.execute("PRAGMA foreign_keys = ON")
            # A power cut may cost the last items, never the file; COLMAP itself writes with OFF.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._stack = stack.pop_all()

    def rows(self, sql: str, values: Sequence = ()) -> list[tuple]:
        """Run one statement and fetch all of its rows."""
        with named_errors(self.path, sqlite3.Error):
            return patiently(self.path, lambda: self._connection.execute(sql, values).fetchall())

    def run_many(self, sql: str, values: Sequence[tuple]) -> None:
        """Run one statement for each tuple of values."""
        with named_errors(self.path, sqlite3.Error):
            self._connection.executemany(sql, values)

    def write_blob(self, table: str, column: str, row_id: int, pieces: Iterable[np.ndarray]) -> None:
        """Write arrays one after the other over a blob that is there, of the size of all together.

        ``INSERT ... zeroblob(size)`` makes one. A blob that is given as a value is copied twice on its way into the
        file; this needs the room of one piece.
        """
        with named_errors(self.path, sqlite3.Error), self._connection.blobopen(table, column, row_id) as blob:
            for piece in pieces:
                blob.write(np.ascontiguousarray(piece).view(np.uint8).reshape(-1))

    def read_blob(self, table: str, column: str, row_id: int, out: np.ndarray) -> None:
        """Fill a contiguous array with the bytes of a blob, in pieces, without a second copy of it.

        Raises RuntimeError where the blob has another size.
        """
        flat = out.view(np.uint8).reshape(-1)
        opened = partial(self._connection.blobopen, table, column, row_id, readonly=True)
        with named_errors(self.path, sqlite3.Error), opened() as blob:
            if len(blob) != len(flat):
                raise RuntimeError(f"{self.path}: row {row_id} of {table} has {len(blob)} bytes, expected {len(flat)}")
            for start in range(0, len(flat), PIECE_BYTES):
                piece = blob.read(PIECE_BYTES)
                flat[start : start + len(piece)] = np.frombuffer(piece, np.uint8)

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """All of the block or, after any exception, nothing of it.

        A DEFERRED one locks nothing until it writes, and reads what was there at its start throughout.
        """
        self.rows(f"BEGIN {kind}")
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            # SQLite has already rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                self.rows("ROLLBACK")
            raise

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exception) -> None:
        self.close()
