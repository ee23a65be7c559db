"""Names of files and errors of libraries as text for one line, and tables.

What is printed is escaped where it is printed, see ``console``; texts in here are of one line by themselves.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

# What ends a line or steers a terminal, and the bytes of names that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(name: str) -> str:
    """A name in which characters that can't stand in a line are escaped as in Python's strings."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def printable_lines(text: str) -> str:
    """The same for several lines, whose ends stay."""
    return "\n".join(map(printable, text.split("\n")))


def first_line(error: object) -> str:
    """The first line of an exception's text, which may continue for programmers; its kind where it has none."""
    return str(error).strip().split("\n")[0] or type(error).__name__


@contextmanager
def errors_at(place: object) -> Iterator[None]:
    """A ValueError of the block gets the place, as a file and a key of it, in front of its text."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def first_of(names: Sequence[str], noun: str) -> str:
    """How many there are, and the first of them: "3 images (a.jpg the first)", "1 image (a.jpg)".

    In one line whatever the name is: of an error with several, only the first is shown.
    """
    first = printable(names[0])
    return f"{counted(len(names), noun)} ({first}{' the first' if len(names) > 1 else ''})"


def first_few(names: Sequence[str], most: int) -> str:
    """The first ``most`` names, and how many there are behind them: "a.jpg, b.jpg and 4 more"."""
    behind = len(names) - most
    return ", ".join(map(printable, names[:most])) + (f" and {behind} more" if behind > 0 else "")


def counted(number: int, noun: str, form: str = "") -> str:
    """A number with its noun: "1 match", "2 matches"; with ``form`` ",": "1,000 points"."""
    return f"{number:{form}} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The noun for several: "matches", "queries"."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("tch") else f"{noun}s"


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern is for the photograph of a name: it is like the name, or like a folder that the name lies in.

    As in a shell (``*``, ``?``, ``[abc]``, in which case counts), but that ``*`` also stands for '/'. What is the very
    name or folder fits, too, whatever characters are in it.
    """
    above = (parent.as_posix() for parent in PurePosixPath(name).parents)
    wanted = pattern.rstrip("/")
    return any(each == wanted or fnmatchcase(each, wanted) for each in (name, *above) if each != ".")


def is_among(patterns: Sequence[str], name: str) -> bool:
    """Whether one of the patterns is for the photograph of a name; no patterns are for all."""
    return not patterns or any(fits(name, pattern) for pattern in patterns)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A key for sorting by which frame_9 comes before frame_10."""
    parts = re.split(r"(\d+)", name)  # text and digits in turns
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text, the first column to the left, the others to the right.

    Line ends in a cell are escaped, so that a row stays a line.
    """
    from tabulate import tabulate  # --help can do without it

    sides = ("left", *["right"] * (len(rows[0]) - 1))
    cells = [[printable(cell) for cell in row] for row in rows]
    return tabulate(cells, tablefmt="plain", disable_numparse=True, colalign=sides)


def one_line(error: object, longest: int | None = None) -> str:
    """An exception's text without line ends, or its kind where it has none; cut after ``longest`` characters.

    What can't be printed, as half characters out of a damaged file, is escaped.
    """
    text = " ".join(str(error).split()).encode(errors="backslashreplace").decode() or type(error).__name__
    return text if longest is None or len(text) <= longest else f"{text[:longest]}..."
