"""From MegaDepth's folders to trained weights and a reconstruction made with them, by the commands a user types.

With D2SFM_ALL_TESTS real photographs are trained on, and reconstructed, at twice the work.
"""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pycolmap
import pytest
from support.all_tests import ALL_TESTS
from support.megadepth_scene import write_megadepth_scene
from support.workspace import write_workspace


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


def train(root: Path, scene_info: Path, output: Path, *options: object) -> list[dict[str, str]]:
    """Train and validate on the one scene in the folder of scene info; the rows of ``epochs.csv``."""
    scenes = output.with_name("scenes.txt")
    scenes.write_text("".join(f"{path.stem}\n" for path in scene_info.iterdir()))
    lists = ("--train-scenes", scenes, "--valid-scenes", scenes, "--use-validation")
    paths = ("--dataset-path", root, "--scene-info-path", scene_info, "--output", output)
    run("d2sfm", "train", *paths, *lists, "--device", "cpu", *options)
    with (output / "epochs.csv").open() as stream:
        return list(csv.DictReader(stream))


def undistort_and_preprocess(root: Path) -> Path:
    """Scene info of MegaDepth's scene 0000 below root, in the folder that is returned."""
    run("megadepth_utils.undistort_reconstructions", "--base-path", root, "--scenes", "0000")
    run("megadepth_utils.preprocess_scene", "--base-path", root, "--scene-id", "0000", "--output-path", root / "info")
    return root / "info"


def assert_falling(rows: list[dict[str, str]]) -> None:
    validation = [float(row["validation_loss"]) for row in rows]
    training = [float(row["training_loss"]) for row in rows[1:]]
    assert validation[-1] < 0.8 * validation[0]
    assert training[-1] < training[0]


@pytest.mark.slow
def test_a_rendered_scene_from_undistortion_to_features(tmp_path):
    write_megadepth_scene(tmp_path, "0000")
    options = ("--image-size", 128, "--pairs-per-scene", 40, "--num-epochs", 2, "--validation-pairs-per-scene", 10)
    assert_falling(train(tmp_path, undistort_and_preprocess(tmp_path), tmp_path / "out", *options))
    images, database = tmp_path / "Undistorted_SfM" / "0000" / "images", tmp_path / "db.db"
    weights = tmp_path / "out" / "best.pth"
    printed = run("d2sfm", "extract", "--database", database, "--images", images, "--weights", weights)
    assert "extract: 6 photographs" in printed


@pytest.mark.slow
def test_a_workspace_of_ones_own_with_small_depth_maps(tmp_path):
    scene = write_megadepth_scene(tmp_path / "megadepth", undistorted=True)
    workspace = write_workspace(scene, tmp_path / "my house")
    info = tmp_path / "info"
    run("megadepth_utils.preprocess_scene", "--workspace", workspace, "--scene-id", "house", "--output-path", info)
    options = ("--image-size", 160, "--pairs-per-scene", 20, "--num-epochs", 1, "--validation-pairs-per-scene", 6)
    first, last = train(workspace, info, tmp_path / "out", *options)
    assert float(last["validation_loss"]) < float(first["validation_loss"])
    assert int(last["pairs"]) >= 10


@pytest.mark.slow
@pytest.mark.photographs
def test_real_photographs_train_and_the_checkpoint_reconstructs(shared_data, tmp_path):
    root = tmp_path / "megadepth"
    shutil.copytree(shared_data / "mini_megadepth", root, ignore=shutil.ignore_patterns("Undistorted_SfM"))
    pairs = 40 if ALL_TESTS else 20
    options = ("--min-overlap", 0.3, "--pairs-per-scene", pairs, "--num-epochs", 2, "--validation-pairs-per-scene", 10)
    assert_falling(train(root, undistort_and_preprocess(root), tmp_path / "out", *options))
    database, photographs = tmp_path / "db.db", shared_data / "herz_jesus_p8" / "images"
    size, weights = 800 if ALL_TESTS else 640, tmp_path / "out" / "best.pth"
    options = ("--max-edge", size, "--camera-mode", "single", "--weights", weights)
    run("d2sfm", "extract", "--database", database, "--images", photographs, *options)
    run("d2sfm", "match", "--database", database)
    starts = ("--no-refine", "--min-starts", 1, "--max-starts", 1)
    run("d2sfm", "reconstruct", "--database", database, "--output", tmp_path / "sparse", *starts)
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert model.num_reg_images() >= 7
    assert model.num_points3D() > (1000 if ALL_TESTS else 640)  # in proportion to the pixels
