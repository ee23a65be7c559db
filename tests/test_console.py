"""Names of strangers' files on a terminal: nothing of them steers it, whoever prints them."""

import argparse
import io
import logging
import sys

import pytest

from d2sfm.cli import main
from d2sfm.console import print_result, report
from d2sfm.parser import Parser
from d2sfm.text import aligned
from megadepth_utils import convert_scene_info, undistort_reconstructions

STEERING = "red \x1b[31m\x9b2J\rover\nerror: forged"
ESCAPED = "red \\x1b[31m\\x9b2J\\rover\\nerror: forged"


@pytest.fixture
def log():
    """A log of a test's own, as the programs have one."""
    log = logging.getLogger("test of the console")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    return log


def test_log_messages_are_lines(log, capsys):
    def run():
        log.info("%s is here", STEERING)
        log.warning("skipped %s", STEERING)
        return 0

    assert report(log, "test", run, "nothing") == 0
    assert capsys.readouterr().err == f"{ESCAPED} is here\nwarning: skipped {ESCAPED}\n"


@pytest.mark.parametrize("kind", [ValueError, OSError, RuntimeError, MemoryError])
def test_of_an_error_the_first_line_is_printed_and_tracebacks_keep_theirs(log, capsys, kind):
    def run():
        raise kind("no \x1b[31m.jpg here\nand advice")

    assert report(log, "test", run, "nothing") == 2
    *traceback, line = capsys.readouterr().err.splitlines()
    assert line == "error: test: no \\x1b[31m.jpg here"
    assert traceback[0] == "traceback"
    assert traceback[1] == "Traceback (most recent call last):"
    assert traceback[-2:] == [f"{kind.__name__}: no \\x1b[31m.jpg here", "and advice"]


def test_results_keep_the_lines_of_tables(capsys):
    table = aligned([("pair", "matches"), (STEERING, "12"), ("caf\udce9", "3")])
    print_result(argparse.Namespace(quiet=False, json=False), table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["pair", "matches"], [*ESCAPED.split(), "12"], ["caf\\udce9", "3"]]
    assert len({len(line) for line in lines}) == 1


def test_letters_that_the_terminal_lacks_are_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    print_result(argparse.Namespace(quiet=False, json=False), "caf\xe9 \u6f22.jpg")
    assert written.getvalue() == b"caf\xe9 \\u6f22.jpg\n"


def test_arguments_are_repeated_in_one_line(capsys):
    parser = Parser(prog="test")
    parser.add_subparsers().add_parser("sub")
    for arguments in ([STEERING], ["sub", STEERING]):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(arguments)
        assert ended.value.code == 2
        assert "\x1b" not in capsys.readouterr().err


def commands_of(tmp_path):
    photographs = tmp_path / "\x1b[31m" / "sub"
    photographs.mkdir(parents=True)
    for name in ("red \x1b]0;title\x07.jpg", "\x9b2J.png"):
        (photographs / name).write_bytes(b"no picture")
    database = tmp_path / "\x1b[2J.db"
    database.write_bytes(b"no database")
    yield "extract", "--images", photographs.parent, "--database", tmp_path / "db.db"
    yield "extract", "\x1b[31m"
    for command in ("match", "refine", "reconstruct", "export"):
        yield command, "--database", database
    yield "import", "--database", tmp_path / "new.db", "--images", photographs, "--features", tmp_path / "\x1b.h5"
    yield "merge", database, database, "--output", tmp_path / "\x1b[1m.db"
    yield "triangulate", "--database", database, "--model", tmp_path / "\x1b[1m", "--output", tmp_path / "out"
    yield "train", "--dataset", tmp_path / "\x1b[1m", "--scenes", tmp_path / "\x1b[1m.txt"


def exit_code(arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as ended:  # argparse's
        return ended.code


def test_no_command_lets_a_name_steer_the_terminal(tmp_path, capfd):
    for arguments in commands_of(tmp_path):
        assert exit_code(arguments) in (1, 2), arguments
        captured = capfd.readouterr()
        assert captured.err, arguments
        assert not set("\x1b\x9b\x07") & set(captured.out + captured.err), arguments


def test_nor_do_the_programs_of_megadepth(tmp_path, capfd):
    (tmp_path / "MegaDepth_v1_SfM" / "\x1b[31m").mkdir(parents=True)
    (tmp_path / "\x1b[31m.npz").write_bytes(b"no scene")
    (tmp_path / "phoenix/S6/zl548/MegaDepth_v1").mkdir(parents=True)
    convert = [str(tmp_path / "\x1b[31m.npz"), "--output-path", str(tmp_path / "out")]
    assert convert_scene_info.main(convert) == 2
    assert undistort_reconstructions.main(["--base-path", str(tmp_path), "--scenes", "\x1b[1m"]) == 2
    assert undistort_reconstructions.main(["--base-path", str(tmp_path / "\x1b[31m")]) == 2
    captured = capfd.readouterr()
    assert captured.err
    assert "\x1b" not in captured.out + captured.err
