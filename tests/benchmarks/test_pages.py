"""Tables that benchmarks write into pages, and the tables of the project's pages that are marked so."""

import argparse
import json
import runpy
import sys
from pathlib import Path

import pytest
from support.pages import PAGES, ROOT
from support.programs import BENCHMARKS, parse_only

PROGRAM = BENCHMARKS / "pages.py"
pages = argparse.Namespace(**runpy.run_path(str(PROGRAM)))
MARKED = sorted({(str(page), " ".join(words)) for page, text in PAGES.items() for words in pages.commands(text)})
ROWS = [
    ("", "seed", "points", "track"),
    ("D2", "0", "10", "3.50"),
    ("D2", "1", "12", "3.60"),
    ("D2", "median", "11", "3.55"),
    ("SIFT", "0", "20", "-"),
    ("SIFT", "1", "20", "-"),
    ("SIFT", "median", "20", "-"),
]
PAGE = """# Page

| | points |
| --- | --- |
| not marked | 1 |

<!-- table: accuracy herz DATA --seeds 0 1 -->

{}

<!-- end -->

After.

<!-- table: accuracy fountain DATA --seeds 0 1 -->

| | points |
| --- | --- |
| another command's | 1 |

<!-- end -->
"""
SHORT = "| | track | points |\n| --- | --- | --- |\n"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE.format(SHORT + "| old | 1 | 2 |"))
    return path


@pytest.fixture
def run(monkeypatch, page):
    """Write tables as the benchmark would that has these arguments."""

    def run(*arguments, tables=(ROWS,)):
        argv = ["benchmarks/accuracy.py", *arguments, "--update", str(page)]
        monkeypatch.setattr(sys, "argv", argv)
        parser = argparse.ArgumentParser(prog="accuracy.py")
        parser.add_argument("folders", nargs=2)
        parser.add_argument("--seeds", nargs="+")
        parser.add_argument("--work")
        pages.add_update(parser)
        pages.update(parser.parse_args().update, *tables)
        return page.read_text()

    return run


def test_the_marked_table_is_replaced_and_nothing_else(run):
    table = SHORT + "| D2 | 3.55 | 11 |\n| SIFT | - | 20 |"
    assert run("/data/herz", "there/it/is", "--work", "kept", "--seeds", "0", "1") == PAGE.format(table)
    assert run("/data/herz", "there/it/is", "--seeds", "0", "1") == PAGE.format(table)


def test_seeds_are_written_where_the_page_has_them(run, page):
    page.write_text(PAGE.format("| | seed | points |\n| --- | --- | --- |"))
    rows = "| D2 | 0 | 10 |\n| | 1 | 12 |\n| | median | 11 |\n| SIFT | 0 | 20 |\n| | 1 | 20 |\n| | median | 20 |"
    assert rows in run("herz", "data", "--seeds", "0", "1")


def test_an_empty_table_gets_all_columns_and_one_seed_is_not_left_out(run, page):
    page.write_text(PAGE.format(""))
    assert "| | seed | points | track |\n| --- | --- | --- | --- |\n| D2 | 0 |" in run("herz", "d", "--seeds", "0", "1")
    page.write_text(PAGE.format(SHORT))
    assert "| D2 | 3.50 | 10 |" in run("herz", "d", "--seeds", "0", "1", tables=(ROWS[:2],))


def test_the_table_is_the_first_that_has_the_columns(run):
    other = [("", "points", "images"), ("other", "1", "2")]
    assert "| D2 | 3.55 | 11 |" in run("herz", "d", "--seeds", "0", "1", tables=(other, ROWS))


def test_other_columns_are_told_and_the_page_stays(run, page):
    before = page.read_text()
    with pytest.raises(SystemExit, match=r"other columns than the benchmark, which are:  \| points \| images$"):
        run("herz", "d", "--seeds", "0", "1", tables=([("", "points", "images")],))
    assert page.read_text() == before


@pytest.mark.parametrize(
    "arguments", [("herz", "d"), ("herz", "d", "--seeds", "1", "0"), ("other_herz", "d", "--seeds", "0", "1")]
)
def test_a_page_without_a_table_of_the_command_is_refused_before_the_run(run, page, arguments, capsys):
    before = page.read_text()
    with pytest.raises(SystemExit):
        run(*arguments)
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"page.md has no <!-- table: accuracy {' '.join(arguments)} -->: add it there" in told
    assert page.read_text() == before


def test_a_page_that_is_not_there_is_refused(run, page, capsys):
    page.unlink()
    with pytest.raises(SystemExit):
        run("herz", "d", "--seeds", "0", "1")
    assert "no page " in capsys.readouterr().err.splitlines()[-1]


def test_tables_are_marked_and_all_marks_are_ends_of_one():
    assert len(MARKED) >= 10
    for text in PAGES.values():
        assert len(pages.commands(text)) == text.count("\n<!-- table: ") == text.count("\n<!-- end -->\n")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), MARKED)
def test_a_marked_table_names_a_benchmark_that_takes_its_arguments_and_writes_it(page, command):
    name, *arguments = command.split()
    parse_only(BENCHMARKS / f"{name}.py", [*arguments, "--update", str(ROOT / page)])


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), MARKED)
def test_a_marked_table_has_columns_of_its_benchmark(page, command, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    constants = runpy.run_path(str(BENCHMARKS / f"{command.split()[0]}.py"), run_name="imported")
    listed = [value for name, value in constants.items() if name.isupper() and isinstance(value, tuple | list | dict)]
    known = {"", "seed", *(each for value in listed for each in value if isinstance(each, str))}
    text = PAGES[Path(page)].partition(f"<!-- table: {command} -->")[2]
    header = text.lstrip().splitlines()[0].strip("|").split("|")
    assert {cell.strip().partition(", of ")[0] for cell in header} <= known


@pytest.mark.slow
def test_a_benchmark_writes_its_table(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    (tmp_path / "large.md").write_text(PAGES[Path("docs/large.md")])
    row = {"label": "town", "clock_s": 2, "peak_bytes": 1e8, "rotation_deg": [0.01, 0.02]}
    rows = [row | {"images": images, "in_model": images, "cpu_s": images / 8} for images in (80, 160)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["show", "rows.jsonl", "--to", "4000", "10000", "--plot", "large.png", "--update", "large.md"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["large.py", *arguments])
    runpy.run_path(str(BENCHMARKS / "large.py"), run_name="__main__")
    written = (tmp_path / "large.md").read_text()
    expected = (
        "| 80 | 10 | 100 | 80 | 0.010 | 0.020 |\n| 160 | 20 | 100 | 160 | 0.010 | 0.020 |\n| 4000 | ~500 | ~100 |"
    )
    assert expected in written
    assert written.count("| 4000 | ") == 1
