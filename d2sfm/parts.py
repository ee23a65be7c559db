"""What is in the making on a disk, and how it takes its place, so that a kill at any moment loses and leaves nothing.

A part is called ``.<name>.<token>.part``, and its writer holds a lock on ``.<name>.<token>.lock`` beside
it that ends with the process. Whoever writes in that folder next removes the parts whose lock is free.
"""

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")  # of what SQLite keeps beside a database
LONGEST_NAME = 100  # bytes of a name that a part takes over; file systems allow 255, some that encrypt 143

# The first half of a token tells the computer: in a network folder, locks of others may not be seen.
_HERE = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
_OF_OTHERS_S = 86_400.0  # after which a part of another computer, with a free lock, is one of a killed run
_LOCK_NAME = re.compile(r"(\..+\.([0-9a-f]{8})[0-9a-f]{8})\.lock", re.DOTALL)
_tidied: set[Path] = set()  # folders where this process has looked for parts of killed runs


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """A path beside ``path`` for a file, folder or database that will take its name.

    Moving it into place is the block's task; what is still there when the block ends is removed, or by the next run
    where this one is killed. Raises as ``require_replaceable``, and FileNotFoundError if the folder is missing;
    OSErrors of the block that name the part, or nothing as those of writing to a full disk, name the path.
    """
    path = Path(path)
    require_replaceable(path)
    require_folder(path)
    if (folder := path.parent.resolve()) not in _tidied:
        _tidied.add(folder)
        _remove_parts_of_killed_runs(folder)
    part = part_path(path)
    lock = part.with_suffix(".lock")
    with _named(path, part, lock), locked(lock, blocking=True):
        try:
            yield part
        finally:
            _remove(part)


def require_folder(path: Path) -> None:
    """FileNotFoundError if the folder of what is to be written is missing."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} can't be written: no folder {path.parent}")


def require_replaceable(path: Path) -> None:
    """ValueError for a device or a pipe, which a file would take the place of: of /dev/null, where root asks for it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path} is a device or a pipe, expected the name of a file")


@contextmanager
def _named(path: Path, *others: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None or not (error.filename is None or Path(os.fsdecode(error.filename)) in others):
            raise
        raise type(error)(f"{path} can't be written: {error.strerror}") from error


def part_path(path: Path) -> Path:
    """A name beside the file for its next version, unlike that of any other process, thread or machine."""
    name = os.fsencode(path.name)[:LONGEST_NAME].decode(errors="ignore")
    return path.with_name(f".{name}.{_HERE}{secrets.token_hex(4)}.part")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder among the system's temporary files, which goes like a part: when the block ends, or later."""
    with part_of(Path(tempfile.gettempdir(), "d2sfm")) as part:
        part.mkdir(0o700)
        yield part


def put_in_place(entries: Path, old: Sequence[Path], name: str) -> None:
    """Move all that a folder holds into the folder it is in, in place of ``old`` there; the folder goes.

    Old ones are put aside, the new ones moved in, the old ones removed last. A kill loses neither: it leaves folders
    called ``.<name>.<state>``, with which ``finish_putting`` continues, and has to before the next one is put in place.
    """
    parent = entries.parent
    whole, _, aside = _states(parent, name)
    aside.mkdir()  # now, for it takes room on the disk
    entries.rename(whole)
    sync(parent)
    finish_putting(parent, old, name)


def finish_putting(parent: Path, old: Sequence[Path], name: str) -> None:
    """End what a killed run has begun with ``put_in_place``; nothing to do is no error. old: as it is there now."""
    whole, entering, aside = states = _states(parent, name)
    lock = parent / f".{name}.lock"
    if not any(path.exists() for path in (*states, lock)):
        return
    with locked(lock, blocking=True):
        if whole.exists():
            for path in old:
                path.rename(aside / path.name)
            whole.rename(entering)
        if entering.exists():
            for path in entering.iterdir():
                path.rename(parent / path.name)
            entering.rmdir()
            sync(parent)
        _remove(aside)


def _states(parent: Path, name: str) -> tuple[Path, Path, Path]:
    """New ones with the old ones still there, new ones that have begun to take their places, and old ones aside."""
    return tuple(parent / f".{name}.{state}" for state in ("whole", "entering", "aside"))


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders, and writes their entries itself
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, blocking: bool) -> Iterator[None]:
    """Hold the lock on a file, which exists only meanwhile. Raises Timeout where another process holds it, if not
    blocking. Where the file system has no locks, a part goes without one, and is left alone."""
    lock = FileLock(path, blocking=blocking, thread_local=False, preserve_lock_file=True)
    try:
        lock.acquire()
    except OSError as error:
        if not blocking or error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        # While it is still locked: who opened it before finds in FileLock that it is gone, and takes it for held.
        with suppress(OSError):  # Windows removes no open file: there it stays, empty
            path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def only_run(output: Path, lock: Path) -> Iterator[None]:
    """Keep other runs of d2sfm from making an output, by ``locked``. RuntimeError if one is making it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, blocking=False))
        except Timeout:
            raise RuntimeError(f"{output} is being made by another run of d2sfm") from None
        yield


def _remove_parts_of_killed_runs(folder: Path) -> None:
    for name in os.listdir(folder):
        if found := _LOCK_NAME.fullmatch(name):
            # Timeout: its writer lives. OSError: it has just ended, or the folder is read-only.
            with suppress(OSError, Timeout):
                if _is_ours(folder / name) and (found[2] == _HERE or _is_old(folder / name)):
                    with locked(folder / name, blocking=False):
                        _remove(folder / f"{found[1]}.part")


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > _OF_OTHERS_S


def _is_ours(path: Path) -> bool:
    """Whether it is a file of this user's: folders for temporary files are everybody's."""
    status = path.lstat()
    is_empty_file = stat.S_ISREG(status.st_mode) and status.st_size == 0
    return is_empty_file and (not hasattr(os, "geteuid") or status.st_uid == os.geteuid())


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
        return
    for suffix in SQLITE_SUFFIXES:
        Path(f"{part}{suffix}").unlink(missing_ok=True)
