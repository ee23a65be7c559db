"""Disks that are full, or nearly."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from d2sfm.system import reserve

try:
    import resource
except ImportError:  # on Windows
    resource = None


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes: writing fails where it would on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def files_limited(size: int) -> Iterator[None]:
    """Files of this process may have so many bytes: for what PyTorch computes, as a forked process may wait for its
    threads for ever. Skips where there are no such limits."""
    if resource is None:
        pytest.skip("no limit for the size of files here")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def error_with_limited_files(write: Callable[[], object], size: int) -> str:
    """What the RuntimeError says that the call raises where files may have so many bytes; empty where it raises none.

    In a process of its own. Skips where there are no such processes or limits.
    """
    if resource is None or not hasattr(os, "fork"):
        pytest.skip("no limit for the size of files here")
    reader, writer = os.pipe()
    if os.fork() == 0:
        message = ""
        try:
            limit_files(size)
            write()
        except RuntimeError as error:
            message = str(error)
        finally:
            os.write(writer, message.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        message = stream.read()
    os.wait()
    return message


class SmallDisk:
    """A folder of which it can be said how much room it has: a tmpfs, or where none may be mounted, of its files.

    In the latter case ``leave`` says how large each file may become, of the processes that call ``in_process``.
    """

    def __init__(self, folder: Path, is_mounted: bool):
        self.folder, self.is_mounted = folder, is_mounted
        self._filler, self._limit = folder / "filler", None

    def leave(self, size: int | None) -> None:
        """Leave room for so many bytes, None for all that there is."""
        self._filler.unlink(missing_ok=True)
        if not self.is_mounted:
            # Not less than what SQLite needs to open a database, which may be elsewhere.
            self._limit = None if size is None else max(size, 40_000)
        elif size is not None:
            with self._filler.open("wb") as file:
                reserve(file, max(1, self._free() - size))

    def used_by(self, work: Callable[[], object]) -> int:
        """Bytes that the work takes at the most, its temporary files with it."""
        most, is_over, before = 0, threading.Event(), self._free() if self.is_mounted else 0

        def look() -> None:
            nonlocal most
            while not is_over.wait(0.001):
                most = max(most, before - self._free() if self.is_mounted else self._largest())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            work()
        finally:
            is_over.set()
            thread.join()
        return most

    def in_process(self) -> Callable[[], None]:
        """What a process calls whose temporary files are to be here, too."""
        return partial(_begin, self.folder / "tmp", self._limit)

    def _free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_bsize

    def _largest(self) -> int:
        sizes = [0]
        for parent, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):
                    sizes.append(os.path.getsize(os.path.join(parent, name)))
        return max(sizes)


def _begin(temporary: Path, limit: int | None) -> None:
    tempfile.tempdir = os.fspath(temporary)
    if limit is not None:
        limit_files(limit)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Of 64 MB, in a folder that is there."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", os.fspath(folder)]
    try:
        is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted and resource is None:
        pytest.skip("no file systems may be mounted here, and the size of files has no limit")
    try:
        yield SmallDisk(folder, is_mounted)
    finally:
        if is_mounted:
            subprocess.run(["umount", os.fspath(folder)], check=True)
