"""What tells whether a file was made of another one: only then a second run may pass it over."""

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
    """What to say where something else is in the place of what is to be made of a file."""
    return ValueError(
        f"would become {printable(str(target))}, which exists and is of another file: give another --output"
    )
