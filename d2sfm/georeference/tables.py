"""Tables of coordinates: CSV of any spreadsheet, with commas, semicolons or tabs."""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from d2sfm.files import not_a_text

Columns = Mapping[str, tuple[str, ...]]  # what else a column may be called, by its name
SEPARATORS = ",;\t"


class Row(NamedTuple):
    """A line of a table: where it stands, for messages, and its cells by the columns' names."""

    place: str
    cells: Mapping[str, str]

    def number(self, column: str) -> float:
        """A cell as a number, with a decimal point or comma; NaN if it is empty. ValueError for others."""
        text = self.cells.get(column, "").strip()
        try:
            number = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text or "nan")
        except ValueError:
            number = math.inf
        if math.isinf(number):
            raise ValueError(f"{self.place}: {column} is {text!r}, expected a number such as 46.8426")
        return number


def read_table(path: Path, columns: Columns, *alternatives: tuple[str, ...]) -> Iterator[Row]:
    """The lines of a CSV file with a header; other columns than the requested ones are ignored.

    alternatives: names of columns, of which all of one must be there. Raises FileNotFoundError, and ValueError if they
    are not, or a line has another number of cells than the header.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no table {path}")
    lines = _text(Path(path)).splitlines()
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    headers = [next(csv.reader(lines[first : first + 1], delimiter=each), []) for each in SEPARATORS]
    found = [_named(header, columns) for header in headers]
    best = max(range(len(SEPARATORS)), key=lambda index: len(found[index]))
    if not any(set(names) <= found[best].keys() for names in alternatives):
        expected = ", or ".join(", ".join(names) for names in alternatives)
        there = ", ".join(max(headers, key=len)) or "nothing"
        raise ValueError(f"{path}: expected names of columns in the first line ({expected}), found {there}")
    return _rows(path, lines[first + 1 :], first + 2, SEPARATORS[best], len(headers[best]), found[best])


def _rows(
    path: Path, lines: list[str], number: int, separator: str, width: int, found: Mapping[str, int]
) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=separator)
    for cells in reader:
        place = f"{path}, line {number + reader.line_num - 1}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != width:
            hint = "; numbers with decimal commas need semicolons between the cells" if separator == "," else ""
            raise ValueError(f"{place}: {len(cells)} cells, expected {width} as in the first line{hint}")
        yield Row(place, {name: cells[index].strip() for name, index in found.items()})


def _text(path: Path) -> str:
    """What spreadsheets write: UTF-8 with or without a mark, UTF-16 with one, or Windows' characters of Western Europe.
    ValueError for what can't be a text."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data:
        raise not_a_text(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _named(header: list[str], columns: Columns) -> dict[str, int]:
    """Indices of the columns; own names count before synonyms."""
    cells = [_plain(cell) for cell in header]
    found = {
        name: next((cells.index(each) for each in (name, *others) if each in cells), None)
        for name, others in columns.items()
    }
    return {name: index for name, index in found.items() if index is not None}


def _plain(cell: str) -> str:
    """A name of a column in lower case, without its unit, and with spaces between words."""
    return re.sub(r"[\s_#-]+", " ", re.sub(r"[(\[].*?[)\]]", "", cell)).strip().lower()
