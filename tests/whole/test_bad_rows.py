"""Databases with rows that no tool should have written, through the commands: one line names the image or the pair."""

import multiprocessing
import os
import shutil
import sys

import pytest
from support.all_tests import ALL_TESTS
from support.bad_rows import ALL, BAD_ROWS, spoil, write_base

from d2sfm.cli import main
from d2sfm.database import create_database

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["d2sfm.matching.match", "d2sfm.refinement.refine", "d2sfm.mapping.triangulate", "d2sfm.exchange.export"]
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


def command_line(command, folder):
    options = {
        "match": ["--pairs", "exhaustive", "--device", "cpu"],
        "reconstruct": ["--no-refine", "--output", folder / "sparse", "--max-starts", "1", "--min-starts", "1"],
        "export": ["--output", folder / "exported"],
        "triangulate": ["--reference", folder / "model", "--output", folder / "triangulated"],
    }
    return [command, "--database", folder / "db.db", *options.get(command, [])]


def spoilt(base, folder, row):
    shutil.copytree(base.parent, folder, dirs_exist_ok=True)
    spoil(folder / "db.db", row)


@pytest.mark.parametrize("kind", list(BAD_ROWS)[::5])
def test_matching_names_it_and_goes_on_or_ends(base, tmp_path, capsys, kind):
    row = BAD_ROWS[kind]
    spoilt(base, tmp_path, row)
    code = main([*map(str, command_line("match", tmp_path)), "--quiet"])
    judge(row, "match", code, capsys.readouterr().err)


def judge(row, command, code, errors):
    assert code in (0, 1, 2), f"{command} ended with {code}: {errors}"
    assert "Traceback" not in errors
    if command in row.told_by:
        # Pairs of no images are passed over; refinement verifies pairs again, which mends their geometries.
        assert code or command == "refine" or "pair_id" in row.named, f"{command} says that all is well"
        lines = [line for line in errors.splitlines() if row.named in line]
        assert lines, f"{command} does not name {row.named}: {errors}"
        assert len(lines) <= 2, lines


def run(arguments, errors):
    """In a process of its own: the command, with its exit code, and its standard error in a file."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    sys.exit(main([*map(str, arguments), "--quiet"]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD_ROWS if ALL_TESTS else list(BAD_ROWS)[2::8])
def test_all_commands_name_it_and_go_on_or_end(base, tmp_path, kind):
    """Each in a process of its own, which earlier versions of d2sfm, or pycolmap, ended.

    All kinds, not some, with D2SFM_ALL_TESTS in the environment.
    """
    row, good = BAD_ROWS[kind], tmp_path / "good.db"
    create_database(good)
    for command in (*ALL, "merge"):
        folder = tmp_path / command
        spoilt(base, folder, row)
        arguments = command_line(command, folder)
        if command == "merge":
            arguments = ["merge", folder / "db.db", good, "--output", folder / "merged.db"]
        process = PROCESSES.Process(target=run, args=(arguments, folder / "errors"))
        process.start()
        process.join(60)
        judge(row, command, process.exitcode, (folder / "errors").read_text())
