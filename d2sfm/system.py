"""What the operating system gives this process; not every one has the calls that Linux has for it."""

import errno
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

PIECE_BYTES = 1 << 20
NETWORK_FILE_SYSTEMS = {"nfs", "cifs", "smb", "smbfs", "sshfs", "lustre", "beegfs", "gpfs", "ceph", "glusterfs", "afs"}


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def network_file_system(path: Path) -> str | None:
    """The kind of the file system that a path is on, where that is one of a network; None elsewhere, or unknown."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return None
    found, mounts = path.resolve(), [(_unescaped(point), kind) for _, point, kind, *_ in map(str.split, lines)]
    holding = [mount for mount in mounts if found.is_relative_to(mount[0])]
    _, kind = max(holding, key=lambda mount: len(mount[0]), default=("", ""))
    return kind if kind.removeprefix("fuse.").rstrip("0123456789") in NETWORK_FILE_SYSTEMS else None


def _unescaped(point: str) -> str:
    """A path of /proc/mounts, where white space is written in octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)


def has_display() -> bool:
    """Whether a window can be opened."""
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def reserve(file: BinaryIO, size: int) -> None:
    """Give a new file ``size`` bytes of the disk. Raises OSError without room for them."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, PIECE_BYTES):  # zeros, not only a length: that takes no room on macOS
        file.write(bytes(min(PIECE_BYTES, size - start)))
    file.flush()


@contextmanager
def named_shortage(path: Path, size: int) -> Iterator[None]:
    """Turn what ``reserve`` raises on a full disk into a RuntimeError that names ``path`` and the bytes it takes.

    Other errors pass in silence: there are file systems that can't tell, and what can't be written at all has words of
    its own.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RuntimeError(
                f"{path} can't be written: the disk is full or over its quota, and {math.ceil(size / 1e6)} MB are "
                "needed"
            ) from error


def require_room(path: Path, *sizes: int, folder: Path | None = None) -> None:
    """Raise RuntimeError, which names ``path``, if files of these sizes do not fit into a folder.

    folder: default the one that ``path`` is in. For writers that say nothing where the disk is full, or end the
    process.
    """
    with named_shortage(path, sum(sizes)), ExitStack() as stack:
        for size in filter(None, sizes):
            reserve(stack.enter_context(TemporaryFile(dir=folder or Path(path).resolve().parent)), size)
