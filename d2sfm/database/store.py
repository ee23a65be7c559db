"""Common to the stores by sqlite3."""

from contextlib import AbstractContextManager
from pathlib import Path

from d2sfm.database.file import opened_database
from d2sfm.database.notes import Notes
from d2sfm.database.rows import require_sane


class Store(AbstractContextManager):
    """A COLMAP database opened by sqlite3. Nothing else in this process may touch the file meanwhile.

    Raises FileNotFoundError if the file is missing, RuntimeError if it is not a COLMAP database or a row can't be;
    every method raises RuntimeError if the file is held by another process, is read-only, or the disk is full.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._connection = opened_database(self.path)
        self.notes = Notes(self._connection)
        try:
            require_sane(self._connection)
        except BaseException:
            self.close()
            raise

    def settle(self) -> None:
        """Bring all that was written into the file itself, which others may then read without SQLite's locks.

        Raises RuntimeError where another program has it open.
        """
        [(is_busy, *_)] = self._connection.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            raise RuntimeError(f"{self.path} is in use by another program: close it there")

    def close(self) -> None:
        self._connection.close()

    def __exit__(self, *exception) -> None:
        self.close()
