"""Writing files so that a reader, and a run that is killed, find the old one or the new one, and never a part."""

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path | str, sync: bool = False) -> Iterator[BinaryIO]:
    """A stream that takes the file's place when the block ends, and is thrown away where it fails.

    sync: whether the bytes are on the disk before that, which a power cut asks for and costs time. OSError as open.
    """
    with replacing_file(path) as part, part.open("wb") as stream:
        yield stream
        if sync:
            stream.flush()
            os.fsync(stream.fileno())


@contextmanager
def replacing_file(path: Path | str) -> Iterator[Path]:
    """``replacing`` for writers that open files themselves: the path of a file to make, which is not there yet."""
    path = Path(path)
    part = part_path(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """``replacing`` for a folder that is not there yet: an empty one to fill. What killed runs left of it goes.

    OSError where somebody else has made the folder by the end.
    """
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        shutil.rmtree(left)
    part = part_path(path)
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def part_path(path: Path) -> Path:
    """A name beside the file for what is to become it, unlike that of any other writer: process, thread or machine."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
