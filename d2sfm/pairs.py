"""Which images to match.

Pairs of image ids are rows of an array, [P, 2] uint32, the smaller id first: 8 bytes a pair, where a list of tuples
takes 100. The two million pairs of 2000 images are 16 MB.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

MAX_LINE = 2 * 4096  # characters of two longest paths; a file of another kind may be one endless line


def exhaustive(image_ids: Iterable[int]) -> np.ndarray:
    """Every pair (i, j) of different image ids with i < j, in ascending order, [P, 2] uint32."""
    ids = np.unique(np.fromiter(image_ids, np.uint32))
    return np.stack([ids[ranks] for ranks in np.triu_indices(len(ids), 1)], axis=1)


def read_pairs(path: Path | str, ids_by_name: Mapping[str, int]) -> np.ndarray:
    """Pairs of image ids from a text file (UTF-8) with two image names a line.

    A tab stands between the names; without a tab, a space does, if exactly one way to split the line gives two names
    of ids_by_name. Where no way does, spaces around the names are dropped. Blank lines and lines that start with # are
    passed over.

    Returns pairs (i, j) with i < j, each once, in the order in which the file first names them, [P, 2] uint32.
    Raises FileNotFoundError where there is no such file, ValueError (with file and line) for a file that is not text,
    a line without two known names, a line that can be split in several ways, and an image paired with itself.
    """
    codes = array("Q")
    for number, line in enumerate(_lines(_read_text(Path(path))), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name_a, name_b = _split(line, ids_by_name)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if name_a == name_b:
            raise ValueError(f"{path}, line {number}: {name_a!r} is paired with itself")
        ids = ids_by_name[name_a], ids_by_name[name_b]
        codes.append(min(ids) << 32 | max(ids))
    codes = np.array(codes, np.uint64)
    _, first = np.unique(codes, return_index=True)
    codes = codes[np.sort(first)]
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1).astype(np.uint32)


def in_tiles(pairs: np.ndarray, tile: int) -> np.ndarray:
    """The pairs in an order in which ``tile + 2`` images at a time cover many of them, [P, 2] uint32.

    The images are taken ``tile`` at a time, and with these each other image in turn: it comes with all its partners
    among them, one pair after the other, and is then not needed again until the next tile.
    """
    ranks = np.searchsorted(np.unique(pairs), pairs)
    return pairs[np.lexsort((ranks[:, 0], ranks[:, 1], ranks[:, 0] // tile))]


def among(pairs: np.ndarray, others: Collection[tuple[int, int]]) -> np.ndarray:
    """Which of the pairs, [P, 2], are among some others (i, j), i < j; [P] bool."""
    codes = np.fromiter((i << 32 | j for i, j in others), np.uint64, len(others))
    return np.isin(pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1], codes)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one at a time: a list of all of them takes several times the text."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _read_text(path: Path) -> str:
    """The file's text with line ends \\n; a byte order mark is dropped."""
    if not path.is_file():
        raise FileNotFoundError(f"no pairs file {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error.reason} at byte {error.start}") from None
    if "\0" in text:
        raise ValueError(f"{path} is not a text file: it holds NUL bytes")
    return text


def _split(line: str, names: Mapping[str, int]) -> tuple[str, str]:
    """The two known names of one line."""
    if len(line) > MAX_LINE:
        raise ValueError(f"expected two names of images, found {len(line)} characters")
    separator = "\t" if "\t" in line else " "
    places = [i for i, character in enumerate(line) if character == separator]
    parts = [(line[:i], line[i + 1 :]) for i in places]
    trimmed = [(a.strip(), b.strip()) for a, b in parts]
    for candidates in (parts, trimmed):
        found = {pair for pair in candidates if pair[0] in names and pair[1] in names}
        if len(found) == 1:
            return found.pop()
        if found:
            raise ValueError(f"{line!r} can be split in {len(found)} ways: put a tab between the two names")
    whole = {pair for pair in trimmed if all(pair)}
    if len(whole) == 1:
        unknown = next(name for name in whole.pop() if name not in names)
        raise ValueError(f"no image {unknown!r} among the {len(names)} images")
    raise ValueError(f"expected two names of images, found {line.strip()!r}")
