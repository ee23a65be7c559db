"""Every command on disks that become full: one line, exit code 2, nothing damaged, and with room again it goes on.

The disk is a small tmpfs where the test may mount one, else no file may grow beyond a size. Each command meets one fill
level, drawn by a seed; all ``LEVELS`` of them with the environment variable ``D2SFM_ALL_TESTS``, which takes
minutes. Temporary files are on the disk, too.
"""

import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from support.all_tests import ALL_TESTS
from support.database_contents import contents, require_whole
from support.full_disks import small_disk
from support.runs import finish, start, write_cut_outs

from d2sfm.database import create_database, import_photographs, remove_photographs
from d2sfm.models import require_whole as require_whole_model
from d2sfm.options import CameraMode, CameraOptions

pytestmark = pytest.mark.slow

LEVELS = 8
EXTRACT = ["extract", "--camera-mode", "single", "--images"]
ONE_START = ["--min-starts", "1", "--max-starts", "1"]
ONE_THREAD = ("--num-threads", "1")  # so that models are equal to the bit


@dataclass(frozen=True)
class Inputs:
    """What commands read, on another disk."""

    photographs: Path
    imported: Path  # database of them without features: their import reserves more than anything else needs
    extracted: Path
    matched: Path
    halves: tuple[Path, Path]  # databases of two photographs each
    exported: Path
    scene: Path  # database whose matches are those of a scene
    reference: Path  # its model
    pictures: Path  # its photographs, all black
    earlier: Path  # another model


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("photographs", "reference", "pictures", "earlier"):
        (folder / name).mkdir()
    photographs = write_cut_outs(folder / "photographs", 4)
    create_database(folder / "imported.db")
    single = CameraOptions(camera_mode=CameraMode.SINGLE)
    import_photographs(folder / "imported.db", photographs, sorted(os.listdir(photographs)), single)
    shutil.copy(folder / "imported.db", folder / "extracted.db")
    finish([*EXTRACT, photographs, "--database", folder / "extracted.db"])
    shutil.copy(folder / "extracted.db", folder / "matched.db")
    finish(["match", "--database", folder / "matched.db"])
    for half, others in (("half 0.db", ["2.png", "3.png"]), ("half 1.db", ["0.png", "1.png"])):
        remove_photographs(shutil.copy(folder / "matched.db", folder / half), others)
    finish(["export", "--database", folder / "matched.db", "--output", folder / "exported"])
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 7, 300
    with pycolmap.Database.open(folder / "scene.db") as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
    truth.write_binary(folder / "reference")
    for image in truth.images.values():
        black = np.zeros((image.camera.height, image.camera.width), np.uint8)
        cv2.imwrite(str(folder / "pictures" / image.name), black)
    pycolmap.Reconstruction().write_binary(folder / "earlier")
    return Inputs(
        photographs=photographs,
        imported=folder / "imported.db",
        extracted=folder / "extracted.db",
        matched=folder / "matched.db",
        halves=(folder / "half 0.db", folder / "half 1.db"),
        exported=folder / "exported",
        scene=folder / "scene.db",
        reference=folder / "reference",
        pictures=folder / "pictures",
        earlier=folder / "earlier",
    )


def nothing_before(inputs, disk):
    pass


def imported_before(inputs, disk):
    shutil.copy(inputs.imported, disk / "db.db")


def extracted_before(inputs, disk):
    shutil.copy(inputs.extracted, disk / "db.db")


def matched_before(inputs, disk):
    shutil.copy(inputs.matched, disk / "db.db")


def model_before(inputs, disk):
    shutil.copytree(inputs.earlier, disk / "models" / "0")


def export_before(inputs, disk):
    (disk / "exported").mkdir()
    for name in ("features.h5", "matches.h5", "pairs.txt"):
        (disk / "exported" / name).write_text("earlier")


@dataclass(frozen=True)
class Case:
    """A command. before: lays what is on its disk before it; arguments: of the inputs and the disk."""

    arguments: Callable[[Inputs, Path], list]
    before: Callable[[Inputs, Path], None] = nothing_before


CASES = {
    "extract": Case(lambda given, disk: [*EXTRACT, given.photographs, "--database", disk / "db.db"], imported_before),
    "match": Case(lambda given, disk: ["match", "--database", disk / "db.db"], extracted_before),
    "refine": Case(lambda given, disk: ["refine", "--database", disk / "db.db"], matched_before),
    "refine --output": Case(
        lambda given, disk: ["refine", "--database", given.matched, "--output", disk / "refined.db"]
    ),
    "reconstruct": Case(
        lambda given, disk: [
            *("reconstruct", "--database", given.scene, "--images", given.pictures, "--output", disk / "models"),
            *("--text", "--ply", *ONE_START, *ONE_THREAD),
        ],
        model_before,
    ),
    "reconstruct globally": Case(  # on a copy of the database among temporary files
        lambda given, disk: [
            *("reconstruct", "--database", given.scene, "--images", given.pictures, "--output", disk / "models"),
            *("--mapper", "global", *ONE_START, *ONE_THREAD),
        ],
        model_before,
    ),
    "triangulate": Case(
        lambda given, disk: [
            *("triangulate", "--database", given.scene, "--images", given.pictures, "--output", disk / "models"),
            *("--reference", given.reference, "--text", "--ply", *ONE_THREAD),
        ],
        model_before,
    ),
    "import": Case(
        lambda given, disk: [
            *("import", "--images", given.photographs, "--features", given.exported / "features.h5"),
            *("--matches", given.exported / "matches.h5", "--database", disk / "db.db"),
        ],
        imported_before,
    ),
    "export": Case(
        lambda given, disk: ["export", "--database", given.matched, "--output", disk / "exported"], export_before
    ),
    "export npz": Case(
        lambda given, disk: ["export", "--format", "npz", "--database", given.matched, "--output", disk / "exported"]
    ),
    "merge": Case(
        lambda given, disk: ["merge", *given.halves, "--images", given.photographs, "--output", disk / "merged.db"]
    ),
}


def outcome(disk):
    """What is on the disk, by name: the contents of databases, the bytes of other files."""
    databases = {path: contents(path) for path in disk.rglob("*.db")}  # first: SQLite tidies what is beside them
    files = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path not in databases}
    return {path.relative_to(disk).as_posix(): content for path, content in sorted((databases | files).items())}


def require_undamaged(disk, before):
    """Databases and models are whole, and other files as they were; parts may be there."""
    for name, content in outcome(disk).items():
        path = disk / name
        if path.suffix == ".db":
            require_whole(path)
        elif path.name == "cameras.bin" and not name.startswith(("tmp/", "models/.")):
            require_whole_model(path.parent)
        if path.suffix != ".db" and not any(part.startswith(".") for part in Path(name).parts):
            assert content == before.get(name, content)


def levels_of(command):
    """Shares of the room that the command needs."""
    every = [(level + 0.5) / LEVELS for level in range(LEVELS)]
    return every if ALL_TESTS else [random.Random(command).choice(every)]


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def lay(case, inputs, disk):
    """The disk as it is before the command."""
    disk.leave(None)
    for path in disk.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (disk.folder / "tmp").mkdir()
    case.before(inputs, disk.folder)


@pytest.mark.parametrize("command", CASES)
def test_a_full_disk_damages_nothing_and_with_room_again_the_command_goes_on(tmp_path, inputs, disk, command):
    case = CASES[command]
    arguments, log = case.arguments(inputs, disk.folder), tmp_path / "errors.txt"
    lay(case, inputs, disk)
    before = outcome(disk.folder)
    needed = disk.used_by(lambda: finish(arguments, disk.in_process()))
    unbroken = outcome(disk.folder)
    for level in levels_of(command):
        lay(case, inputs, disk)
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
        require_undamaged(disk.folder, before)
        finish(arguments, disk.in_process())
        assert outcome(disk.folder) == unbroken
