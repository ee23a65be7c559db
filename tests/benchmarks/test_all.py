"""One command for all figures: what it would run exists, and it goes on after failures and where it was stopped."""

import os
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from support.pages import PAGES, ROOT
from support.programs import BENCHMARKS, parse_only

from d2sfm.cli import make_parser

SCRIPT = BENCHMARKS / "all.sh"
# Those that others import, and synthetic, whose databases large makes.
MODULES = {"child", "exactness", "night_like", "pages", "pool", "sift", "synthetic"}
PYTHON = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in *"$FAILING"*) echo "it is broken" >&2; exit 3;; esac
"""


def listed(data="/data/of sets", results="/results"):
    done = subprocess.run([SCRIPT, "--list", data, results], capture_output=True, text=True, check=True)
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


COMMANDS = {name: shlex.split(command) for name, command in listed().items()}
MEASURED = {name: words[1:] for name, words in COMMANDS.items() if words[1].startswith("benchmarks/")}


def test_names_are_those_of_one_run_each():
    done = subprocess.run([SCRIPT, "--list", "a", "b"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(COMMANDS) > 90


def test_listing_writes_nothing_and_keeps_spaces_in_paths(tmp_path):
    command = listed(str(tmp_path / "my data"), str(tmp_path / "out"))["parity"]
    assert shlex.split(command)[2] == str(tmp_path / "golden")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_a_benchmark_that_would_run_takes_its_options(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *arguments = MEASURED[name]
    parse_only(ROOT / program, arguments)


@pytest.mark.slow
def test_other_commands_that_would_run_take_their_options():
    for name in COMMANDS.keys() - MEASURED.keys():
        program, *arguments = COMMANDS[name]
        if program == "cp":
            assert len(arguments) == 2
        elif arguments[1] == "d2sfm":
            make_parser().parse_args(arguments[2:])
        else:
            import_module(arguments[1])._make_parser().parse_args(arguments[2:])


def test_every_benchmark_runs_and_every_one_that_a_page_names():
    run = {Path(words[0]).stem for words in MEASURED.values()}
    assert run == {path.stem for path in BENCHMARKS.glob("*.py")} - MODULES
    named = set(re.findall(r"python\s+benchmarks/(\w+)\.py", "\n".join(PAGES.values())))
    assert named <= run


def test_every_marked_table_is_written_by_one_run():
    written = [
        (Path(words[0]).stem, page)
        for words in MEASURED.values()
        if "--update" in words
        for page in words[words.index("--update") + 1 :]
    ]
    marks = {
        (command.split()[0], str(page), command)
        for page, text in PAGES.items()
        for command in re.findall(r"^<!-- table: (.+) -->$", text, flags=re.MULTILINE)
    }
    assert sorted(written) == sorted((name, page) for name, page, _ in marks)


@pytest.fixture
def run(tmp_path):
    """Run the script with an interpreter that only notes its arguments; what is printed, the exit code, the calls."""
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "data").mkdir()

    def run(failing):
        calls.write_text("")
        given = {"PYTHON": str(python), "CALLS": str(calls), "FAILING": failing}
        command = [SCRIPT, tmp_path / "data", tmp_path / "results"]
        done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
        return done.stdout, done.returncode, calls.read_text().splitlines()

    return run


@pytest.mark.slow
def test_what_fails_is_named_and_the_rest_runs_and_is_not_run_again(run, tmp_path):
    # The copies of databases fail, too, as none was made.
    copies = sum(words[0] == "cp" for words in COMMANDS.values())
    of_a_stopped_run = tmp_path / "results/six/matched.db"
    of_a_stopped_run.parent.mkdir(parents=True)
    of_a_stopped_run.touch()
    printed, code, calls = run("benchmarks/parity.py")
    assert not of_a_stopped_run.exists()
    assert code == 1
    assert len(calls) == len(COMMANDS) - copies
    assert "parity failed: it is broken\n" in printed
    assert re.search(rf"^{copies + 1} failed, see their logs in .*results: .* parity ", printed, re.MULTILINE)
    assert (tmp_path / "results/parity.log").read_text() == "it is broken\n"
    assert not (tmp_path / "results/parity.done").exists()
    assert (tmp_path / "results/retrieval.done").exists()
    for copy in (words for words in COMMANDS.values() if words[0] == "cp"):
        source = tmp_path / "results" / Path(copy[1]).relative_to("/results")
        source.parent.mkdir(parents=True, exist_ok=True)
        source.touch()
    printed, code, calls = run("nothing")
    assert [words.split()[0] for words in calls] == ["benchmarks/parity.py"]
    assert code == 0
    assert run("nothing")[1:] == (0, [])


@pytest.mark.parametrize("arguments", [[], ["data"], ["--list"], ["no-such-folder", "results"]])
def test_what_is_wrong_is_told_in_a_line(arguments, tmp_path):
    done = subprocess.run([SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"error: (two folders are needed: .*|no folder .*no-such-folder)\n", done.stderr)
