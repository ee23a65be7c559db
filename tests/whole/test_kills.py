"""Every command killed at random moments: repeated, it ends as an unbroken run."""

import os
import shutil
import time
from itertools import count
from random import Random

import cv2
import pycolmap
import pytest
from support.all_tests import ALL_TESTS
from support.database_contents import contents, require_whole
from support.helpers import textured_picture
from support.runs import finish, start

from d2sfm.database.connection import Connection, open_pycolmap

ROUNDS = 5 if ALL_TESTS else 0  # of every command, 63 kills, which take some minutes


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder of what the commands begin with: photographs, databases, files of features and matches."""
    folder = tmp_path_factory.mktemp("given")
    whole = textured_picture(3, (144, 80))
    (folder / "photographs").mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / "photographs" / f"{index}.png"), whole[:, 16 * index : 16 * index + 96])
    database = ["--database", folder / "extracted.db"]
    finish(["extract", "--camera-mode", "single", "--images", folder / "photographs", *database])
    shutil.copy(folder / "extracted.db", folder / "others.db")
    with Connection(folder / "others.db") as connection:
        connection.rows("UPDATE images SET name = 'other ' || name")
    shutil.copy(folder / "extracted.db", folder / "matched.db")
    finish(["match", "--database", folder / "matched.db"])
    finish(["export", "--format", "hloc", "--database", folder / "matched.db", "--output", folder / "exported"])
    with open_pycolmap(folder / "scene.db") as colmap:
        options = pycolmap.SyntheticDatasetOptions(num_rigs=2, num_cameras_per_rig=1, num_frames_per_rig=4)
        pycolmap.set_random_seed(3)
        pycolmap.synthesize_dataset(options, colmap)
    return folder


FEATURES = ["--features", "{given}/exported/features.h5"]
DATABASE = ["--database", "{work}/db.db"]
IMAGES = ["--images", "{given}/photographs"]
COMMANDS = {  # what db.db is made of, and the command
    "extract": (None, ["extract", "--camera-mode", "single", *IMAGES, *DATABASE]),
    "match": ("extracted", ["match", *DATABASE]),
    "match --overwrite": ("matched", ["match", "--overwrite", "--max-error", "2", *DATABASE]),
    "refine": ("matched", ["refine", *IMAGES, *DATABASE]),
    "refine --output": ("matched", ["refine", *IMAGES, *DATABASE, "--output", "{work}/new.db"]),
    "reconstruct": (
        "scene",
        ["reconstruct", "--max-starts", "3", "--num-threads", "1", *DATABASE, "--output", "{work}/sparse"],
    ),
    "import": (None, ["import", *IMAGES, *FEATURES, "--matches", "{given}/exported/matches.h5", *DATABASE]),
    "export": ("matched", ["export", "--format", "hloc", *DATABASE, "--output", "{work}/exported"]),
    "merge": ("matched", ["merge", "{work}/db.db", "{given}/others.db", "--output", "{work}/new.db"]),
}


class Work:
    """A command in a folder of its own."""

    def __init__(self, folder, given, source, command):
        folder.mkdir()
        self.folder = folder
        self._command = [each.format(work=folder, given=given) for each in command]
        self._is_of_d2sfm = source != "scene"
        if source:
            shutil.copy(given / f"{source}.db", folder / "db.db")

    def begin(self):
        """The process, when it is at work on the database."""
        for left in self._locks():  # by a killed run
            left.unlink()
        process = start(self._command, errors=os.devnull)
        while process.is_alive() and not self._locks():
            time.sleep(0.001)
        return process

    def finish(self):
        """Returns the seconds that it took."""
        process, started = self.begin(), time.monotonic()
        process.join()
        assert process.exitcode == 0
        return time.monotonic() - started

    def kill(self, seconds):
        """Whether it was still at work, and not through but for its last words."""
        process = self.begin()
        process.join(seconds)
        is_through = not self._locks()
        process.kill()
        process.join()
        for database in self.folder.glob("*.db"):
            if self._is_of_d2sfm:
                require_whole(database)
        return process.exitcode != 0 and not is_through

    def _locks(self):
        """Of databases, not of parts: by the latter the next run knows what to tidy."""
        return [path for path in self.folder.glob("*.lock") if not path.name.startswith(".")]

    def made(self):
        """What is there, by path: rows of databases, bytes of other files."""
        return {
            str(path.relative_to(self.folder)): contents(path) if path.suffix == ".db" else path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


KILLED_ELSEWHERE = {"extract", "match", "refine"}  # in test_interruptions


@pytest.mark.slow
@pytest.mark.parametrize("command", [each for each in COMMANDS if ROUNDS or each not in KILLED_ELSEWHERE])
def test_a_killed_command_that_is_repeated_ends_as_an_unbroken_run(given, tmp_path, command):
    random, unbroken = Random(command), Work(tmp_path / "unbroken", given, *COMMANDS[command])
    seconds, folders = unbroken.finish(), (tmp_path / str(number) for number in count())
    for number in range(ROUNDS or 1):
        times = 1 + number % 2  # also a run that goes on
        broken = Work(next(folders), given, *COMMANDS[command])
        while not all(broken.kill(random.uniform(0, seconds)) for _ in range(times)):  # it was through before
            broken = Work(next(folders), given, *COMMANDS[command])
        broken.finish()
        assert broken.made() == unbroken.made()
