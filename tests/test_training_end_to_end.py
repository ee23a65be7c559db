"""From MegaDepth's folders to trained weights and a reconstruction made with them, by the commands a user types."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pycolmap
import pytest
from megadepth_scene import write_megadepth_scene


def run(*command: object, exit_code: int = 0) -> str:
    """Run ``python -m`` with these arguments; what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
    return done.stdout


def train(root: Path, output: Path, *options: object) -> list[dict[str, str]]:
    """Undistort, preprocess and train the scene 0000 below root; the rows of ``epochs.csv``."""
    run("megadepth_utils.undistort_reconstructions", "--base-path", root, "--scenes", "0000")
    run("megadepth_utils.preprocess_scene", "--base-path", root, "--scene-id", "0000", "--output-path", root / "info")
    (root / "scenes.txt").write_text("0000\n")
    lists = ("--train-scenes", root / "scenes.txt", "--valid-scenes", root / "scenes.txt", "--use-validation")
    paths = ("--dataset-path", root, "--scene-info-path", root / "info", "--output", output)
    run("d2sfm", "train", *paths, *lists, "--device", "cpu", *options)
    with (output / "epochs.csv").open() as stream:
        return list(csv.DictReader(stream))


def assert_falling(rows: list[dict[str, str]]) -> None:
    validation = [float(row["validation_loss"]) for row in rows]
    training = [float(row["training_loss"]) for row in rows[1:]]
    assert validation[-1] < 0.8 * validation[0]
    assert training[-1] < training[0]


@pytest.mark.slow
def test_a_rendered_scene_from_undistortion_to_features(tmp_path):
    write_megadepth_scene(tmp_path, "0000")
    options = ("--image-size", 128, "--pairs-per-scene", 40, "--num-epochs", 2, "--validation-pairs-per-scene", 10)
    assert_falling(train(tmp_path, tmp_path / "out", *options))
    images, database = tmp_path / "Undistorted_SfM" / "0000" / "images", tmp_path / "db.db"
    weights = tmp_path / "out" / "best.pth"
    printed = run("d2sfm", "extract", "--database", database, "--images", images, "--weights", weights)
    assert "extract: 6 photographs" in printed


@pytest.mark.slow
@pytest.mark.photographs
def test_real_photographs_train_and_the_checkpoint_reconstructs(shared_data, tmp_path):
    root = tmp_path / "megadepth"
    shutil.copytree(shared_data / "mini_megadepth", root, ignore=shutil.ignore_patterns("Undistorted_SfM"))
    options = ("--min-overlap", 0.3, "--pairs-per-scene", 40, "--num-epochs", 2, "--validation-pairs-per-scene", 10)
    assert_falling(train(root, tmp_path / "out", *options))
    database, photographs = tmp_path / "db.db", shared_data / "herz_jesus_p8" / "images"
    size = ("--max-edge", 800, "--camera-mode", "single", "--weights", tmp_path / "out" / "best.pth")
    run("d2sfm", "extract", "--database", database, "--images", photographs, *size)
    run("d2sfm", "match", "--database", database)
    starts = ("--min-starts", 1, "--max-starts", 1)
    run("d2sfm", "reconstruct", "--database", database, "--output", tmp_path / "sparse", *starts)
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert model.num_reg_images() >= 7
    assert model.num_points3D() > 1000
