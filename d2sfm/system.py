"""What the operating system gives this process; not every one has the calls that Linux has for it."""

import os
from typing import BinaryIO

PIECE_BYTES = 1 << 20


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reserve(file: BinaryIO, size: int) -> None:
    """Give a new file so many bytes that the disk has room for. Raises OSError where it has none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, PIECE_BYTES):  # zeros, not only a length: that takes no room on macOS
        file.write(bytes(min(PIECE_BYTES, size - start)))
    file.flush()
