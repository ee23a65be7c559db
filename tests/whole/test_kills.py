"""Every command killed at random moments: nothing is damaged, and the same command ends as the unbroken run.

Each is killed ``KILLS`` times, or as often as the environment variable ``D2SFM_KILLS`` says.
"""

import os
import random
import tempfile
import time
from functools import partial

import pytest
from support.commands import CASES, lay, make_inputs, outcome, require_undamaged
from support.runs import finish, start

pytestmark = pytest.mark.slow

KILLS = 1


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def keep_temporary_files_in(folder):
    tempfile.tempdir = os.fspath(folder)


@pytest.mark.parametrize("command", CASES)
def test_a_killed_command_damages_nothing_and_goes_on(tmp_path, inputs, command):
    case, disk, moments = CASES[command], tmp_path / "disk", random.Random(command)
    disk.mkdir()
    arguments, prepare = case.arguments(inputs, disk), partial(keep_temporary_files_in, disk / "tmp")
    lay(case, inputs, disk)
    before = outcome(disk)
    started = time.monotonic()
    finish(arguments, prepare)
    seconds, unbroken = time.monotonic() - started, outcome(disk)
    for _ in range(int(os.environ.get("D2SFM_KILLS", KILLS))):
        lay(case, inputs, disk)
        process, moment = start(arguments, prepare, os.devnull), moments.uniform(0, seconds)
        process.join(moment)
        process.kill()
        process.join()
        left = sorted(path.relative_to(disk).as_posix() for path in disk.rglob(".*"))
        print(f"{command} | {moment:.2f} of {seconds:.2f} s | {' '.join(left)}")
        require_undamaged(disk, before, unbroken)
        finish(arguments, prepare)
        assert outcome(disk) == unbroken  # and no more files
