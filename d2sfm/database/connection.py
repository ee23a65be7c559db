"""Both ways into COLMAP's database: Python's sqlite3 and pycolmap, never at the same time in one process.

They carry two SQLite libraries whose file locks do not see each other inside one process: with both open, rows are
lost without an error. So everything that touches the file goes through ``Connection`` or ``open_pycolmap``, and
``sole_use`` lets one of them in at a time. Errors of either become a RuntimeError of one line, see ``patience``.

Other runs of d2sfm are kept out by a lock of their own (``lock.exclusive``); COLMAP's programs know only SQLite's.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database.patience import PAUSE_S, named_errors, patiently
from d2sfm.system import require_room
from d2sfm.text import counted

PIECE_BYTES = 4 << 20  # in which large blobs are written and read
OPENING_BYTES = 1_000_000  # more than pycolmap writes to make a database or bring an older one up to date

_in_use: set[Path] = set()


@contextmanager
def sole_use(path: Path) -> Iterator[Path]:
    """Keep the rest of this process away from the database; gives its resolved path.

    Raises RuntimeError if it is open already.
    """
    resolved = Path(path).resolve()
    if resolved in _in_use:
        raise RuntimeError(f"{path} is already open in this process: close it first")
    _in_use.add(resolved)
    try:
        yield resolved
    finally:
        _in_use.remove(resolved)


@contextmanager
def open_pycolmap(path: Path) -> Iterator[pycolmap.Database]:
    """pycolmap's Database, closed at the end. Raises RuntimeError if it can't be opened or closed.

    pycolmap makes a missing file and migrates an old one. Even to read it needs a file and a folder to write to, and no
    other process may be in the middle of a write: see ``patiently``.
    """
    for place in (Path(path), Path(path).resolve().parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise RuntimeError(f"{path} can't be opened by pycolmap: {place} is read-only")
    with sole_use(path):
        require_room(path, OPENING_BYTES)  # pycolmap would not tell that this is why
        with named_errors(path, RuntimeError), quiet_pycolmap():
            database = patiently(path, lambda: pycolmap.Database.open(path))
        try:
            yield database
        finally:
            with named_errors(path, RuntimeError):
                database.close()


class Closing(AbstractContextManager):
    """Closed at the end of the block or by ``close``: what is open is on the stack ``_stack``."""

    def close(self) -> None:
        self._stack.close()

    def __exit__(self, *exception) -> None:
        self.close()


class Connection(Closing):
    """One sqlite3 connection: statements outside of a transaction are on their own, errors name the file.

    Opening does not make a missing file. is_constant: nobody writes to it, so it is read without locks, which network
    folders may lack, and not written. Raises RuntimeError if the file can't be opened, and every method does where
    SQLite refuses (held by another process, read-only, disk full, no database).
    """

    def __init__(self, path: Path, *, is_constant: bool = False):
        self.path = Path(path)
        with ExitStack() as stack, named_errors(self.path, sqlite3.Error):
            uri = f"{stack.enter_context(sole_use(self.path)).as_uri()}?{_mode(is_constant)}"
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

    def table(self, sql: str, dtype: Sequence[tuple[str, type]]) -> np.ndarray:
        """The rows of one statement as a structured array, without a tuple of each: for millions of them."""
        with named_errors(self.path, sqlite3.Error):
            return patiently(self.path, lambda: np.fromiter(self._connection.execute(sql), np.dtype(dtype)))

    def run_many(self, sql: str, values: Iterable[tuple]) -> None:
        """Run one statement for each tuple of values."""
        with named_errors(self.path, sqlite3.Error):
            self._connection.executemany(sql, values)

    def write_blob(self, table: str, column: str, row_id: int, pieces: Iterable[np.ndarray]) -> None:
        """Write arrays one after the other over an existing blob of their total size.

        ``INSERT ... zeroblob(size)`` makes one. A blob that is given as a value is copied twice on its way into the
        file; this needs the room of one piece.
        """
        with named_errors(self.path, sqlite3.Error), self._connection.blobopen(table, column, row_id) as blob:
            for piece in pieces:
                blob.write(np.ascontiguousarray(piece).view(np.uint8).reshape(-1))

    def read_blob(self, table: str, column: str, row_id: int, out: np.ndarray) -> None:
        """Fill a contiguous array with the bytes of a blob, in pieces, without a second copy of it.

        Raises RuntimeError if the blob has another size.
        """
        flat = out.view(np.uint8).reshape(-1)
        opened = partial(self._connection.blobopen, table, column, row_id, readonly=True)
        with named_errors(self.path, sqlite3.Error), opened() as blob:
            if len(blob) != len(flat):
                raise RuntimeError(
                    f"{self.path}: row {row_id} of {table} has {counted(len(blob), 'byte')}, expected {len(flat)}"
                )
            for start in range(0, len(flat), PIECE_BYTES):
                piece = blob.read(PIECE_BYTES)
                flat[start : start + len(piece)] = np.frombuffer(piece, np.uint8)

    def attach(self, path: Path, schema: str, *, is_constant: bool = False) -> None:
        """Let statements name the tables of another, existing database as ``schema.table``.

        The caller keeps the rest of this process away from it (``sole_use``). is_constant: nobody writes to it, so it
        is read without locks, which network folders may lack.
        """
        self.rows(f"ATTACH DATABASE ? AS {schema}", (f"{path.resolve().as_uri()}?{_mode(is_constant)}",))

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """All of the block or, after any exception, nothing of it.

        A DEFERRED one locks nothing until it writes, and reads the state of its start throughout.
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


def require_utf8(text: str) -> None:
    """ValueError for a text that SQLite can't take, as a path may be."""
    if text != text.encode(errors="replace").decode():
        raise ValueError(f"{text!r} is not UTF-8, as texts in a database must be: rename the file or folder")


def _mode(is_constant: bool) -> str:
    return "mode=ro&immutable=1" if is_constant else "mode=rw"
