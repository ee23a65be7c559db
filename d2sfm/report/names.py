"""Names and texts of others for display: whatever they contain reads as text and stays in its place."""

import re
from pathlib import PurePosixPath

from d2sfm.text import printable

# What turns the direction of the text around it; letters that are written from the right are not among these.
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """A text in one line; invisible characters and those that turn the text are escaped as in Python's strings."""
    return _DIRECTIONS.sub(lambda found: found[0].encode("unicode_escape").decode(), printable(text))


def shown_name(name: str) -> str:
    """The name of a photograph as ``shown``; of one with an absolute path, as other programs give them, the last part.

    Pages are shared, and paths on a disk are private.
    """
    return shown(PurePosixPath(name).name if name.startswith("/") else name)
