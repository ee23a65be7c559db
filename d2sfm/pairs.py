"""Which images to match."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

Pair = tuple[int, int]  # two image ids, the smaller first
MAX_LINE = 2 * 4096  # characters of two longest paths; a file of another kind may be one endless line


def exhaustive(image_ids: Iterable[int]) -> list[Pair]:
    """Every pair (i, j) of different image ids with i < j, in ascending order."""
    return list(combinations(sorted(set(image_ids)), 2))


def read_pairs(path: Path | str, ids_by_name: Mapping[str, int]) -> list[Pair]:
    """Pairs of image ids from a text file (UTF-8) with two image names a line.

    A tab stands between the names; without a tab, a space does, if exactly one way to split the line gives two names
    of ids_by_name. Where no way does, spaces around the names are dropped. Blank lines and lines that start with # are
    passed over.

    Returns pairs (i, j) with i < j, each once, in the order in which the file first names them.
    Raises FileNotFoundError where there is no such file, ValueError (with file and line) for a file that is not text,
    a line without two known names, a line that can be split in several ways, and an image paired with itself.
    """
    pairs = {}
    for number, line in enumerate(_read_text(Path(path)).split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name_a, name_b = _split(line, ids_by_name)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if name_a == name_b:
            raise ValueError(f"{path}, line {number}: {name_a!r} is paired with itself")
        id_a, id_b = ids_by_name[name_a], ids_by_name[name_b]
        pairs[min(id_a, id_b), max(id_a, id_b)] = None
    return list(pairs)


def in_tiles(pairs: Iterable[Pair], tile: int) -> list[Pair]:
    """Pairs in an order in which ``2 * tile`` images at a time cover many of them: tile by tile of their matrix."""
    pairs = list(pairs)
    ranks = {image_id: rank for rank, image_id in enumerate(sorted({i for pair in pairs for i in pair}))}
    return sorted(pairs, key=lambda pair: (ranks[pair[0]] // tile, ranks[pair[1]] // tile, pair))


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
