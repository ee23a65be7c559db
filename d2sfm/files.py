"""Writing files so that a reader, and a run that is killed, find the old one or the new one, and never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from d2sfm.parts import part_of
from d2sfm.parts import part_path as part_path
from d2sfm.parts import sync as sync


@contextmanager
def replacing(path: Path | str, sync: bool = False) -> Iterator[BinaryIO]:
    """A stream that takes the file's place when the block ends, and is thrown away where it fails.

    sync: whether the bytes are on the disk before that, which a power cut asks for and costs time. OSError as open
    and write, with the name of the file.
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
    with part_of(path) as part:
        yield part
        part.replace(path)
