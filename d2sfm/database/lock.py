"""A lock that keeps other runs of d2sfm away from a database."""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from d2sfm.text import counted

_held: set[Path] = set()  # by this process


def held_or_exclusive(path: Path) -> AbstractContextManager[None]:
    """``exclusive``, for what also runs inside of one: nothing more where this process holds the lock."""
    return nullcontext() if Path(f"{Path(path).resolve()}.lock") in _held else exclusive(path)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other runs of d2sfm away from the database, by a lock on the empty file ``<path>.lock`` beside it.

    The lock ends with the process, however it ends; a lock file that a killed run left behind stops nobody. Raises
    RuntimeError if the lock is held, by another run or in this one, or a file of that name is not empty and so none of
    d2sfm's; FileNotFoundError if the folder is missing.
    """
    file = Path(f"{Path(path).resolve()}.lock")
    lock = FileLock(file, blocking=False, thread_local=False, preserve_lock_file=True)
    try:
        if file.parent.exists():  # FileLock would make it
            lock.acquire()
    except Timeout:
        raise RuntimeError(f"{path} is in use by another run of d2sfm") from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS):
            raise RuntimeError(
                f"{path} can't be locked: the folder or {file.name} is read-only, or belongs to another user"
            ) from error
        raise RuntimeError(f"{path} can't be locked: {error}") from error
    if not lock.is_locked:
        raise FileNotFoundError(f"no folder {file.parent} for the database {file.stem}")
    try:
        if size := file.stat().st_size:
            raise RuntimeError(
                f"{path} can't be locked: {file} has {counted(size, 'byte')}, expected an empty file: rename that file"
            )
        try:
            _held.add(file)
            yield
        finally:
            _held.discard(file)
            # While it is still locked: who opened it before finds in FileLock that it is gone, and takes it for in use.
            with suppress(OSError):  # Windows removes no open file: there it stays, empty
                file.unlink()
    finally:
        lock.release()
