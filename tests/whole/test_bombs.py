"""Small files that make gigabytes, through the commands: one line, little memory, and soon."""

import multiprocessing
import os
import resource
import sys
import time

import h5py
import numpy as np
import pytest
from support.bad_rows import write_base
from support.bombs import (
    write_checkpoint,
    write_deep_groups,
    write_features,
    write_large_chunk,
    write_mat,
    write_npz,
    write_png,
)
from support.transfer_files import NAMES, SIZE, write_database, write_photographs

from d2sfm.cli import main

MEMORY_KB, SECONDS = 1_000_000, 10
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["d2sfm.extraction.extract", "d2sfm.exchange.import_features", "cv2", "scipy.io"])


def run(arguments, errors, taken):
    """In a process of its own: the command, with its exit code, its standard error and what it took in files."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    started = time.monotonic()
    code = main([*map(str, arguments), "--quiet"])
    taken.write_text(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} {time.monotonic() - started}")
    sys.exit(code)


def of_features(folder, images):
    write_features(folder / "f.h5", NAMES[0], SIZE)
    return ["import", "--images", images, "--features", folder / "f.h5"], 1, "would unpack to 4096000000"


def of_a_chunk(folder, images):
    write_large_chunk(folder / "f.h5", NAMES[0], "keypoints", (10, 2))
    with h5py.File(folder / "f.h5", "a") as file:
        file[NAMES[0]]["descriptors"] = np.zeros((512, 10), np.float32)
    return ["import", "--images", images, "--features", folder / "f.h5"], 1, "would unpack to"


def of_deep_groups(folder, images):
    write_deep_groups(folder / "f.h5")
    return ["import", "--images", images, "--features", folder / "f.h5"], 2, "nested groups"


def of_a_name(folder, images):
    database = write_database(folder / "db.db", images)
    assert main(["export", "--database", str(database), "--output", str(folder), "--quiet"]) == 0
    with h5py.File(folder / "matches.h5", "a") as file:
        file.create_group("_" * 50_000)["matches0"] = np.zeros(1, np.int32)
    given = ["--features", folder / "features.h5", "--matches", folder / "matches.h5", "--no-verify"]
    return ["import", "--images", images, *given], 2, "a name of 50000 characters"


def of_npz(folder, images):
    write_npz(folder / f"{NAMES[0]}.d2-net")
    return ["import", "--images", images, "--features", folder, "--convention", "reference"], 1, "would unpack to"


def of_mat(folder, images):
    write_mat(folder / f"{NAMES[0]}.d2-net")
    return ["import", "--images", images, "--features", folder, "--convention", "reference"], 1, "would unpack to"


def of_a_photograph(folder, images):
    write_png(folder / "a.png")
    return ["extract", "--images", folder, "--max-edge", 64], 1, "676 megapixels: --max-megapixels allows 250"


def of_a_photograph_with_features(folder, images):
    database = write_base(folder)  # with verified pairs
    write_png(folder / "images/a.png")
    return ["refine", "--database", database], 2, "a.png is 26000 x 26000 px, expected 80 x 64 px"


def of_a_mask(folder, images):
    write_png(folder / f"{NAMES[0]}.png")
    reason = f"is {SIZE[0]} x {SIZE[1]} px, its mask 26000 x 26000 px"
    return ["extract", "--images", images, "--masks", folder, "--max-edge", 64], 1, reason


def of_the_camera_mask(folder, images):
    write_png(folder / "mask.png")
    options = ["--camera-mask", folder / "mask.png", "--max-edge", 64]
    return ["extract", "--images", images, *options], 2, "676 megapixels: --max-megapixels allows 250"


def of_weights(folder, images):
    write_checkpoint(folder / "w.pth")
    return ["extract", "--images", images, "--weights", folder / "w.pth"], 2, "w.pth is damaged: it declares more bytes"


def of_global_descriptors(folder, images):
    database = write_database(folder / "mine.db", images)
    for name in NAMES:
        write_large_chunk(folder / "g.h5", name, "global_descriptor", (8,))
    given = ["--pairs", "retrieval", "--global-descriptors", folder / "g.h5"]
    return ["match", "--database", database, *given], 2, "would unpack to"


BOMBS = [value for name, value in sorted(globals().items()) if name.startswith("of_")]


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS, ids=[bomb.__name__ for bomb in BOMBS])
def test_small_files_take_little_memory_and_one_line(tmp_path, bomb):
    images = write_photographs(tmp_path / "photographs")
    (tmp_path / "files").mkdir()
    arguments, code, reason = bomb(tmp_path / "files", images)
    assert max(path.stat().st_size for path in (tmp_path / "files").rglob("*")) < 40_000_000  # weights have 30
    database = [] if "--database" in arguments else ["--database", tmp_path / "db.db"]
    errors, taken = tmp_path / "errors", tmp_path / "taken"
    process = PROCESSES.Process(target=run, args=([*arguments, *database], errors, taken))
    process.start()
    process.join(60)
    assert process.exitcode == code, errors.read_text()
    memory_kb, seconds = map(float, taken.read_text().split())
    assert memory_kb < MEMORY_KB
    assert seconds < SECONDS
    [line] = [line for line in errors.read_text().splitlines() if reason in line]
    assert len(line) < 1000
