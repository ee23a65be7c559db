"""Every command on disks that become full: one line, exit code 2, nothing damaged, and with room again it goes on.

The disk is a small tmpfs where the test may mount one, else no file may grow beyond a size. Each command meets one fill
level, drawn by a seed; all ``LEVELS`` of them with the environment variable ``D2SFM_FILL_LEVELS=all``, which takes
minutes. Temporary files are on the disk, too.
"""

import os
import random
import re

import pytest
from support.commands import CASES, lay, make_inputs, outcome, require_undamaged
from support.full_disks import small_disk
from support.runs import finish, start

pytestmark = pytest.mark.slow

LEVELS = 8


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def levels_of(command):
    """Shares of the room that the command needs."""
    every = [(level + 0.5) / LEVELS for level in range(LEVELS)]
    return every if os.environ.get("D2SFM_FILL_LEVELS") == "all" else [random.Random(command).choice(every)]


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.mark.parametrize("command", CASES)
def test_a_full_disk_damages_nothing_and_with_room_again_the_command_goes_on(tmp_path, inputs, disk, command):
    case = CASES[command]
    arguments, log = case.arguments(inputs, disk.folder), tmp_path / "errors.txt"
    lay(case, inputs, disk.folder)
    before = outcome(disk.folder)
    needed = disk.used_by(lambda: finish(arguments, disk.in_process()))
    unbroken = outcome(disk.folder)
    for level in levels_of(command):
        lay(case, inputs, disk.folder)
        disk.leave(int(level * needed))
        process = start(arguments, disk.in_process(), log)
        process.join()
        lines = log.read_text().splitlines()
        print(f"{command} | {level:.0%} of {needed} bytes | {process.exitcode} | {' // '.join(lines)}")
        disk.leave(None)
        if process.exitcode == 0:  # room is needed by turns, and what was seen to be needed is not exact
            assert outcome(disk.folder) == unbroken
            continue
        assert process.exitcode == 2
        [line] = lines
        found = re.fullmatch(rf"error: d2sfm {command.split()[0]}: {re.escape(str(disk.folder))}/(\S+) (.*)", line)
        assert found, line
        assert not found[1].startswith("."), line  # the name of what is to become of a part
        assert re.search("full|No space|too large", found[2]), line
        require_undamaged(disk.folder, before, unbroken)
        finish(arguments, disk.in_process())
        assert outcome(disk.folder) == unbroken
