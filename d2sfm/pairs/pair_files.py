"""Pairs of images in text files, two names a line: COLMAP's and hloc's layout.

Both split a line at its space, and find no pair in a line with a tab. Neither can hold names with spaces.
"""

import logging
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.pair_ids import image_pairs
from d2sfm.files import not_a_text, read_text, replacing
from d2sfm.options import PairKind
from d2sfm.spelling import did_you_mean
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)

MAX_LINE = 2 * 4096  # characters of two longest paths; a file of another kind may be one endless line


def read_pairs(path: Path | str, ids_by_name: Mapping[str, int]) -> np.ndarray:
    """Pairs of image ids from a text file (UTF-8) with two image names a line.

    A tab stands between the names; without a tab, a space does, if exactly one way to split the line gives two names
    of ids_by_name. If no way does, spaces around the names are dropped. Blank lines and lines that start with # are
    ignored.

    Returns pairs (i, j) with i < j, each once, in the order in which the file first names them, [P, 2] uint32.
    Raises FileNotFoundError if the file is missing, ValueError (with file and line) for a file that is not text, a line
    without two known names, a line that can be split in several ways, and an image paired with itself.
    """
    numbers = array("q")
    for number, name_a, name_b in _named_pairs(path, ids_by_name, ids_by_name):
        if name_a == name_b:
            raise ValueError(f"{path}, line {number}: {name_a!r} is paired with itself")
        ids = ids_by_name[name_a], ids_by_name[name_b]
        numbers.append(pycolmap.image_pair_to_pair_id(*ids))
    numbers = np.frombuffer(numbers, np.int64)
    _, first = np.unique(numbers, return_index=True)
    return image_pairs(numbers[np.sort(first)])


def read_candidates(path: Path | str, queries: Collection[str], images: Collection[str]) -> dict[str, list[str]]:
    """For each query, the images that a text file pairs it with, in its order: lines as of ``read_pairs``, the query
    first, as in hloc's files.

    Lines of other queries are left out, with a warning, as such a file may be of all queries of a dataset.
    Raises as ``read_pairs``, also if all lines are of other queries.
    """
    found: dict[str, list[str]] = {name: [] for name in queries}
    others: dict[str, ValueError] = {}
    for _, query, image in _named_pairs(path, found, set(images), others):
        if image not in found[query]:
            found[query].append(image)
    if others and not any(found.values()):
        raise next(iter(others.values()))
    if others:
        logger.warning("%s: left out, as they are no queries here: %s", path, first_of(list(others), "image"))
    return found


def write_pairs(path: Path | str, pairs: np.ndarray, names: Mapping[int, str]) -> None:
    """Write pairs of image ids, [P, 2], as lines that ``read_pairs`` reads, in their order.

    A space stands between the names, as COLMAP and hloc expect; a tab, with a warning, if one holds white space.
    names: by image id. Raises ValueError if a name can't stand in such a line, FileNotFoundError if the folder is
    missing.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for the pairs file {path.name}")
    with replacing(path) as file:
        file.writelines(f"{_line(names[a], names[b])}\n".encode() for a, b in pairs.tolist())
    if spaced := [name for name in map(names.get, np.unique(pairs).tolist()) if _holds_space(name)]:
        logger.warning(
            "%s: names with spaces are followed by a tab, which COLMAP and hloc do not read: %s",
            path,
            first_of(spaced, "image"),
        )


def require_pairs_file(path: Path | str) -> None:
    """Raise FileNotFoundError if the file is missing, with the kind of pairs that may be meant."""
    try:
        is_file = Path(path).is_file()
    except OSError as error:  # a name that is too long, for one
        raise FileNotFoundError(f"no pairs file {path}: {error.strerror}") from None
    if not is_file:
        raise FileNotFoundError(f"no pairs file {path}{did_you_mean(str(path), PairKind)}")


def require_writable(names: Iterable[str]) -> None:
    """Check before long work whether names can stand in a pairs file. ValueError if one can't."""
    for name in names:
        if not name.strip() or set(name) & set("\t\n\r\0"):
            raise ValueError(
                f"{name!r} can't be written into a pairs file: it holds a tab or a line end, or only spaces"
            )


def _line(name_a: str, name_b: str) -> str:
    """The line of a pair. A name that looks like a comment, or like the mark of a text file, comes second."""
    require_writable((name_a, name_b))
    separator = "\t" if _holds_space(name_a) or _holds_space(name_b) else " "
    for first, second in ((name_a, name_b), (name_b, name_a)):
        if not first.lstrip().startswith("#") and not first.startswith("\ufeff"):
            return f"{first}{separator}{second}"
    raise ValueError(f"{name_a!r} and {name_b!r} can't be written into a pairs file: a line may not begin with #")


def _holds_space(name: str) -> bool:
    return len(name.split()) > 1 or name != name.strip()


class _UnknownName(ValueError):
    """A line names an image that is not known: which, and whether it comes first."""

    def __init__(self, name: str, is_first: bool, text: str):
        super().__init__(text)
        self.name, self.is_first = name, is_first


def _named_pairs(
    path: Path | str, names_a: Collection[str], names_b: Collection[str], others: dict[str, ValueError] | None = None
) -> Iterator[tuple[int, str, str]]:
    """The number of each line with a pair, from 1, and its two names, one of either.

    others: lines whose first name is not of names_a are left out, and their names kept here, with the error that is
    else raised.
    """
    for number, line in enumerate(_lines(_read_text(Path(path))), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name_a, name_b = _split(line, names_a, names_b)
        except ValueError as error:
            of_line = ValueError(f"{path}, line {number}: {error}")
            if others is None or not (isinstance(error, _UnknownName) and error.is_first):
                raise of_line from None
            others.setdefault(error.name, of_line)
            continue
        yield number, name_a, name_b


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one at a time: a list of all of them takes several times the text."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _read_text(path: Path) -> str:
    """The file's text with line ends \\n; a byte order mark is dropped."""
    require_pairs_file(path)
    text = read_text(path)
    if "\0" in text:
        raise not_a_text(path)
    return text


def _split(line: str, names_a: Collection[str], names_b: Collection[str]) -> tuple[str, str]:
    """The two known names of one line, one of either."""
    if len(line) > MAX_LINE:
        raise ValueError(f"expected two names of images, found {len(line)} characters")
    separator = "\t" if "\t" in line else " "
    places = [i for i, character in enumerate(line) if character == separator]
    parts = [(line[:i], line[i + 1 :]) for i in places]
    trimmed = [(a.strip(), b.strip()) for a, b in parts]
    for candidates in (parts, trimmed):
        found = {pair for pair in candidates if pair[0] in names_a and pair[1] in names_b}
        if len(found) == 1:
            return found.pop()
        if found:
            raise ValueError(f"{line!r} can be split in {len(found)} ways: put a tab between the two names")
    whole = {pair for pair in trimmed if all(pair)}
    if len(whole) == 1:
        name_a, name_b = whole.pop()
        is_first = name_a not in names_a
        unknown, known = (name_a, names_a) if is_first else (name_b, names_b)
        raise _UnknownName(unknown, is_first, f"no image {unknown!r} among the {counted(len(known), 'image')}")
    raise ValueError(f"expected two names of images, found {line.strip()!r}")
