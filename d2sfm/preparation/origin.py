"""Whether a file was made from another one: only then may a second run skip it."""

import hashlib
from pathlib import Path

from d2sfm.photographs.headers import open_file
from d2sfm.text import printable

_HASHED_BYTES = 1 << 20  # of the start: a video is gigabytes


def origin_of(path: Path) -> str:
    """A hash of a file's size and start. Raises as ``read``."""
    start = read(path, _HASHED_BYTES)
    return hashlib.sha256(f"{path.stat().st_size} ".encode() + start).hexdigest()[:32]


def read(path: Path, most_bytes: int = -1) -> bytes:
    """A file's content, or its start. Raises as ``open_file``, and ValueError if the disk it is on fails."""
    with open_file(path) as stream:
        try:
            return stream.read(most_bytes)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error


def not_of(target: Path) -> ValueError:
    """The message if the target of a file exists and was not made from it."""
    return ValueError(
        f"would become {printable(str(target))}, which exists and is of another file: give another --output"
    )
