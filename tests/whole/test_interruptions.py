"""Runs that are killed or interrupted: the database is whole, and the finished run equals an unbroken one."""

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import pytest
import torch
from support.all_tests import ALL_TESTS
from support.database_contents import contents, require_whole
from support.full_disks import limit_files
from support.helpers import textured_picture
from support.runs import error_of, finish, start, write_cut_outs

from d2sfm.console import EXIT_INTERRUPTED
from d2sfm.database import FeatureStore, ForeignStore, MatchStore, RefinementStore, import_photographs, outdated_images
from d2sfm.options import CameraMode, CameraOptions
from d2sfm.refinement import stages as refinement
from d2sfm.refinement.schedule import schedule

KILLS = 20 if ALL_TESTS else 8
# On the CPU, where the same photograph has the same features to the bit.
EXTRACT = ["extract", "--device", "cpu", "--camera-mode", "single", "--images"]


class Killer:
    """Starts a command again and again, kills it at random moments, and looks at the database after each."""

    def __init__(self, database, seed):
        self.database = database
        self._random = random.Random(seed)
        self._lock = database.with_name(f"{database.name}.lock")

    def seconds(self, arguments):
        """How long the whole work takes, from when it has the database."""
        process = self._begun(arguments)
        started = time.monotonic()
        process.join()
        assert process.exitcode == 0
        return time.monotonic() - started

    def kill(self, arguments, times, seconds, restart):
        """Kill it so many times, spread over that much work. restart: makes the database again when a run got through.

        Returns how many images and pairs there were after each.
        """
        found, share = [], 1
        while len(found) < times:
            process = self._begun(arguments)
            process.join(self._random.uniform(0, 2 * share * seconds / times))
            if process.exitcode is not None:  # the work is done: kills that are left begin from the start
                assert process.exitcode == 0
                restart()
                continue
            process.kill()
            process.join()
            found.append(self._look())
            share = share + 1 if found[-2:-1] == found[-1:] else 1  # it is at something that takes longer
        return found

    def _begun(self, arguments):
        self._lock.unlink(missing_ok=True)  # a killed run leaves it behind
        process = start(arguments, errors=os.devnull)
        while process.is_alive() and not self._lock.exists():
            time.sleep(0.001)
        return process

    def _look(self):
        if not self.database.exists():
            return 0, 0
        found, outdated = require_whole(self.database), outdated_images(self.database)
        with FeatureStore(self.database) as store:
            assert store.extracted().keys() == found["keypoints"].keys() - outdated.keys()
            for name in store.extracted():
                store.read(name)
        with ForeignStore(self.database) as store:
            assert store.images() == []
        assert found["matches"].keys() == found["two_view_geometries"].keys()
        return len(found["keypoints"]), len(found["matches"])


def kill_extraction_and_matching(folder, photographs, options, times):
    """Returns what there was of images and pairs after each kill."""
    extract = [*EXTRACT, photographs, *options, "--database"]
    whole, broken = folder / "whole.db", folder / "broken.db"
    unbroken, killer = Killer(whole, seed=0), Killer(broken, seed=1)
    seconds = [unbroken.seconds([*extract, whole]), unbroken.seconds(["match", "--database", whole])]

    def remove():
        assert contents(broken)["keypoints"] == contents(whole)["keypoints"]
        broken.unlink()

    def extract_anew():
        assert contents(broken) == contents(whole)
        broken.unlink()
        finish([*extract, broken])

    found = killer.kill([*extract, broken], times - times // 2, seconds[0], remove)
    finish([*extract, broken])
    found += killer.kill(["match", "--database", broken], times // 2, seconds[1], extract_anew)
    finish(["match", "--database", broken])
    require_whole(broken)
    assert contents(broken) == contents(whole)
    return found


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_cut_outs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def extracted(photographs):
    """Their database; a copy is one, as nobody has it open."""
    finish([*EXTRACT, photographs, "--database", photographs / "extracted.db"])
    return photographs / "extracted.db"


@pytest.fixture(scope="module")
def matched(extracted):
    path = shutil.copy(extracted, extracted.with_name("matched.db"))
    finish(["match", "--database", path])
    return path


@pytest.fixture
def database(tmp_path):
    return tmp_path / "db.db"


@pytest.mark.slow
def test_killed_runs(tmp_path, photographs):
    kill_extraction_and_matching(tmp_path, photographs, [], 6)


@pytest.mark.slow
def test_killed_runs_of_real_photographs(tmp_path, shared_data):
    found = kill_extraction_and_matching(
        tmp_path, shared_data / "herz_jesus_p8" / "images", ["--max-edge", "480"], KILLS
    )
    print("images and pairs after each kill:", *found)
    assert len(found) == KILLS
    assert len(set(found)) > KILLS // 5  # they fell into different stages


@pytest.mark.slow
def test_killed_overwriting_leaves_each_image_with_its_old_or_its_new_features(photographs, matched, database):
    shutil.copy(matched, database)
    smaller = [*EXTRACT, photographs, "--max-edge", "80", "--database"]
    new = database.with_name("new.db")
    seconds = Killer(new, seed=0).seconds([*smaller, new])
    old, expected = contents(matched), contents(new)
    killer = Killer(database, seed=2)

    def begin_anew():
        assert contents(database) == expected
        shutil.copy(matched, database)

    for _ in range(3):
        killer.kill([*smaller, database, "--overwrite"], 1, seconds / 4, begin_anew)
        found = contents(database)
        assert len(found["keypoints"]) == 8
        untouched = {name for name, row in found["keypoints"].items() if row == old["keypoints"][name]}
        for kind in ("keypoints", "descriptors"):
            for name, row in found[kind].items():
                assert row == (old if name in untouched else expected)[kind][name]
        assert found["matches"] == {pair: row for pair, row in old["matches"].items() if set(pair) <= untouched}
    finish([*smaller, database, "--overwrite"])
    assert contents(database) == expected


def wait_for(condition, process):
    """Until it holds; the process must still be at work then."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        assert process.is_alive()
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come to that")


def rows_in(database, table):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def held(method, after, gate):
    """The method that waits, from so many calls on, while there is the file ``gate``."""
    calls = count(1)

    def waiting(*arguments, **named):
        method(*arguments, **named)
        while next(calls) > after and gate.exists():
            time.sleep(0.01)

    return waiting


def hold_pairs(gate):
    MatchStore.write = held(MatchStore.write, 2, gate)


def interrupt(process):
    """As Ctrl-C does."""
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == EXIT_INTERRUPTED


def test_ctrl_c_ends_matching_with_what_is_done(extracted, matched, database, gate):
    shutil.copy(extracted, database)
    process = start(["match", "--database", database], partial(hold_pairs, gate))
    wait_for(lambda: rows_in(database, "matches") > 2, process)
    interrupt(process)
    assert 2 < len(require_whole(database)["matches"]) < 28
    finish(["match", "--database", database])
    assert contents(database) == contents(matched)


def small_parts():
    """Let refinement save what it has done more often."""
    refinement.schedule = partial(schedule, part_nodes=50, most_tracks=50)


def hold_parts(gate):
    small_parts()
    RefinementStore.save_part = held(RefinementStore.save_part, 0, gate)


@pytest.fixture
def gate(tmp_path):
    (tmp_path / "gate").touch()
    return tmp_path / "gate"


@pytest.mark.slow
def test_ctrl_c_ends_refinement_with_what_is_done(matched, database, gate, tmp_path):
    whole = shutil.copy(matched, tmp_path / "whole.db")
    shutil.copy(matched, database)
    finish(["refine", "--database", whole], small_parts)
    process = start(["refine", "--database", database], partial(hold_parts, gate))
    wait_for(lambda: rows_in(database, "d2sfm_refined_parts") > 0, process)
    interrupt(process)
    assert require_whole(database) == contents(matched)  # keypoints move all at once, at the end
    assert rows_in(database, "d2sfm_refined_parts") > 0
    finish(["refine", "--database", database], small_parts)
    assert contents(database) == contents(whole)


def test_a_second_run_is_told_so_and_the_first_loses_nothing(photographs, extracted, matched, database, gate, tmp_path):
    shutil.copy(extracted, database)
    first = start(["match", "--database", database], partial(hold_pairs, gate))
    wait_for(lambda: rows_in(database, "matches") > 0, first)
    for arguments in ([*EXTRACT, photographs, "--overwrite"], ["match"], ["refine"]):
        line = error_of([*arguments, "--database", database], tmp_path)
        assert line == f"error: d2sfm {arguments[0]}: {database} is in use by another run of d2sfm"
    gate.unlink()
    first.join()
    assert first.exitcode == 0
    assert contents(database) == contents(matched)


@pytest.mark.slow
def test_a_full_disk_ends_extraction_with_one_line_and_what_is_done(photographs, extracted, database, tmp_path):
    extract = [*EXTRACT, photographs, "--database", database]
    line = error_of(extract, tmp_path, partial(limit_files, 3_000_000))
    full = f"error: d2sfm extract: {database} can't be written: the disk is full or over its quota, and 9 MB are needed"
    assert line == full  # pycolmap's import would end the process
    assert contents(database)["images"] == []
    import_photographs(
        database, photographs, [f"{index}.png" for index in range(8)], CameraOptions(camera_mode=CameraMode.SINGLE)
    )
    line = error_of(extract, tmp_path, partial(limit_files, extracted.stat().st_size // 2))
    assert line == f"error: d2sfm extract: {database} can't be written: the disk is full, over a quota or damaged"
    assert 0 < len(require_whole(database)["keypoints"]) < 8
    finish(extract)
    assert contents(database) == contents(extracted)


def test_a_full_disk_leaves_pairs_that_are_made_anew_whole_and_they_go_on(matched, extracted, database, tmp_path):
    shutil.copy(matched, database)
    options = ["--ratio", "0.5", "--database"]
    line = error_of(["match", "--overwrite", *options, database], tmp_path, partial(limit_files, 100_000))
    assert line == f"error: d2sfm match: {database} can't be written: the disk is full, over a quota or damaged"
    new = shutil.copy(extracted, tmp_path / "new.db")
    finish(["match", *options, new])
    found, old, expected = require_whole(database), contents(matched), contents(new)
    for table in ("matches", "two_view_geometries"):
        assert found[table].keys() == expected[table].keys()
        for pair, row in found[table].items():
            assert row in (old[table][pair], expected[table][pair])
    assert found["matches"] != expected["matches"]
    finish(["match", "--overwrite", *options, database])
    assert contents(database) == expected


def test_a_full_disk_makes_no_database(photographs, database, tmp_path):
    line = error_of([*EXTRACT, photographs, "--database", database], tmp_path, partial(limit_files, 60_000))
    full = f"error: d2sfm extract: {database} can't be written: the disk is full or over its quota, and 1 MB are needed"
    assert line == full
    assert os.listdir(tmp_path) == ["errors.txt"]


def test_a_full_disk_ends_matching_with_one_line_and_what_is_done(extracted, matched, database, tmp_path):
    shutil.copy(extracted, database)
    line = error_of(["match", "--database", database], tmp_path, partial(limit_files, 200_000))  # of SQLite's log
    assert line == f"error: d2sfm match: {database} can't be written: the disk is full, over a quota or damaged"
    assert 0 < len(require_whole(database)["matches"]) < 28
    finish(["match", "--database", database])
    assert contents(database) == contents(matched)


def without_privileges():
    """As a user who may read everything and write nothing: permissions do not stop the superuser."""
    if os.geteuid() == 0:
        os.setuid(65534)


@pytest.fixture
def read_only(matched, tmp_path):
    """A database that is read-only, in a folder that is."""
    installed = {parent for each in (__file__, torch.__file__) for parent in Path(each).parents}
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o005 == 0o005 for parent in installed):
        pytest.skip("run by the superuser, from a folder that others may not read")
    folder = tmp_path / "read-only"
    folder.mkdir()
    path = shutil.copy(matched, folder / "db.db")
    opened = [parent for each in (folder, matched) for parent in each.parents if parent.stat().st_mode & 0o777 == 0o700]
    for parent in opened:  # pytest's own folders
        parent.chmod(0o755)
    path.chmod(0o444)
    folder.chmod(0o555)
    yield path
    for parent in (folder, *opened):
        parent.chmod(0o700)


@pytest.mark.parametrize("command", ["extract", "match", "refine"])
def test_a_read_only_database_stays_as_it_is(read_only, photographs, tmp_path, command):
    content = read_only.read_bytes()
    arguments = [*EXTRACT, photographs] if command == "extract" else [command]
    line = error_of([*arguments, "--database", read_only], tmp_path, without_privileges)
    assert line.startswith(f"error: d2sfm {command}: {read_only} ")
    assert "read-only" in line
    assert read_only.read_bytes() == content
    assert os.listdir(read_only.parent) == ["db.db"]


def test_tiny_photographs_have_whole_rows(tmp_path, database):
    """With few keypoints or none."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(100):
        cv2.imwrite(str(folder / f"{index:05}.png"), textured_picture(index, (16, 12)))
    finish([*EXTRACT, folder, "--database", database])
    assert len(require_whole(database)["keypoints"]) == 100
