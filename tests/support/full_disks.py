"""Disks that are full, or nearly."""

import os
from collections.abc import Callable

import pytest

try:
    import resource
except ImportError:  # on Windows
    resource = None


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond so many bytes: writing fails where it would on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


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
