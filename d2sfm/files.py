"""Writing files so that a reader, and a run that is killed, find the old one or the new one, and never a part.

And what files of others may unpack to.
"""

import math
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZipFile

from d2sfm.parts import part_of
from d2sfm.text import one_line

if TYPE_CHECKING:  # only its readers need it
    import h5py

# A few kilobytes of a made file unpack to gigabytes. Measured: deflate makes a quarter of descriptors, a sixth of depth
# maps, a 220th of a list of few matches, and ends at 1032. So what is small is good in any case.
MOST_UNPACKED = 100  # times the bytes that are stored
ALWAYS_UNPACKED = 64 << 20  # bytes


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


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """``replacing`` for a folder that is not there yet: an empty one to fill.

    OSError if somebody else has made the folder by the end.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with part_of(path) as part:
        part.mkdir()
        yield part
        part.rename(path)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8 with line ends \\n; a byte order mark is dropped. ValueError for other encodings."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error.reason} at byte {error.start}") from None


def not_a_text(path: Path) -> ValueError:
    """The error of a file with bytes that no text has, though its encoding may allow them."""
    return ValueError(f"{path} is not a text file: it holds NUL bytes")


def read_toml(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file. ValueError for no TOML.

    A byte order mark, as editors on Windows write it, is dropped.
    """
    text = read_text(Path(path))
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {one_line(error)}") from error


def open_hdf5(path: Path, mode: str) -> "h5py.File":
    """h5py's file, without its lock where the file system has none, as network folders may. OSError as h5py's, also
    where another process holds the lock."""
    import h5py

    try:
        return h5py.File(path, mode)
    except OSError as error:
        if isinstance(error, BlockingIOError) or "unable to lock file" not in str(error):
            raise
        return h5py.File(path, mode, locking=False)


def check_unpacked(stored: int, unpacked: int) -> None:
    """Raise ValueError if ``stored`` bytes can't be data of ``unpacked`` bytes."""
    if unpacked > max(ALWAYS_UNPACKED, MOST_UNPACKED * stored):
        raise ValueError(f"{stored} bytes would unpack to {unpacked}, more than features, maps or weights need")


def check_archive(archive: ZipFile, file_bytes: int) -> None:
    """Raise ValueError if a file in an archive of that many bytes would unpack to too much."""
    for member in archive.infolist():
        check_unpacked(min(member.compress_size, file_bytes), member.file_size)


def check_dataset(dataset: "h5py.Dataset") -> None:
    """Raise ValueError if a dataset of an HDF5 file would unpack to too much, or a chunk, which may be larger."""
    largest = max(dataset.size, math.prod(dataset.chunks or ()))
    check_unpacked(dataset.id.get_storage_size(), largest * dataset.dtype.itemsize)
