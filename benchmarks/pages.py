"""Tables of benchmarks on pages of the project: ``--update PAGE`` writes them there, so that none is typed.

A table stands between two comments:

    <!-- table: NAME ARGUMENTS -->

    | | points |
    ...

    <!-- end -->

NAME and ARGUMENTS are those of the benchmark that makes it, without options that only say where files are kept. A word
in capitals stands for any, and a path for all that end so. The header that is there decides which columns are written,
and in which order; without one it is all of them. Where "seed" is none of them, rows of all seeds take the place of
those of single ones.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

SUMMARIES = ("median", "all")  # in the column "seed": rows over all of them
KEPT = ("--work", "--database", "--databases", "--keep", "--cache", "--output", "--processes")  # which change no figure
_MARKED = re.compile(r"^<!-- table: ([^\n]+) -->\n(.*?)^<!-- end -->$", re.DOTALL | re.MULTILINE)

Rows = Sequence[Sequence[str]]  # of a table, the header first


def add_update(parser: argparse.ArgumentParser) -> None:
    """Add ``--update``, which refuses pages without a table of this command before anything is measured."""
    told = "write the table into these pages, where their <!-- table: ... --> names this command"
    parser.add_argument("--update", type=_page, nargs="+", default=[], metavar="PAGE", help=told)


def update(pages: Sequence[Path], *tables: Rows) -> None:
    """Write each table of the pages that this command makes, from the first of ``tables`` that has its columns."""
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(_MARKED.sub(lambda found: _filled(found, tables), text), encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """The words of all commands that a page names as those of its tables."""
    return [found[1].split() for found in _MARKED.finditer(text)]


def _page(text: str) -> Path:
    page = Path(text)
    if not page.is_file():
        raise argparse.ArgumentTypeError(f"no page {page}")
    if not any(map(_is_this, commands(page.read_text(encoding="utf-8")))):
        raise argparse.ArgumentTypeError(f"{page} has no <!-- table: {' '.join(_this_command())} -->: add it there")
    return page


def _this_command() -> list[str]:
    """Name and arguments of this process, without what changes no figure."""
    words, left = [Path(sys.argv[0]).stem], list(sys.argv[1:])
    while left:
        word = left.pop(0)
        if word == "--update":
            while left and not left[0].startswith("-"):
                left.pop(0)
        elif word in KEPT:
            left.pop(0)
        else:
            words.append(word)
    return words


def _is_this(words: Sequence[str]) -> bool:
    given = _this_command()
    return len(words) == len(given) and all(map(_fits, words, given))


def _fits(word: str, given: str) -> bool:
    return word.isupper() or given == word or given.endswith(f"/{word}")


def _filled(found: re.Match, tables: Sequence[Rows]) -> str:
    """A marked table as it is now; as it was where another command makes it."""
    if not _is_this(found[1].split()):
        return found[0]
    wanted = next((_cells(line) for line in found[2].splitlines() if line.startswith("|")), None)
    for rows in tables:
        if set(wanted or ()) <= set(rows[0]):
            return f"<!-- table: {found[1]} -->\n\n{_markdown(rows, wanted or rows[0])}\n<!-- end -->"
    columns = " | ".join(dict.fromkeys(cell for rows in tables for cell in rows[0]))
    raise SystemExit(f"the table of {found[1]} has other columns than the benchmark, which are: {columns}")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _markdown(rows: Rows, wanted: Sequence[str]) -> str:
    header, *rows = rows
    if "seed" in header and "seed" not in wanted:
        seed = header.index("seed")
        rows = [row for row in rows if row[seed] in SUMMARIES] or rows
    chosen = [[row[header.index(column)] for column in wanted] for row in rows]
    labels = [row[0] for row in chosen]
    for row, label, before in zip(chosen[1:], labels[1:], labels, strict=False):
        row[0] = "" if label == before else label  # once for the rows that share it
    return "".join(_line(row) for row in (wanted, ["---"] * len(wanted), *chosen))


def _line(cells: Sequence[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n"
