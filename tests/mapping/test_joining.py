"""A further model of a database, for images that can't be placed in one by themselves.

Two of the new images can be placed, and the others only have pairs with each other.
"""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pycolmap
import pytest
from support.bridged_scene import NEW, OLD, all_pairs, bridged, names, require_kept

from d2sfm.colmap import read_model
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.exchange.remove import remove_images
from d2sfm.mapping.extend import extend_model
from d2sfm.options import ReconstructionOptions, RefineCameras

pytestmark = pytest.mark.slow

OPTIONS = ReconstructionOptions(num_threads=1)
extend = partial(extend_model, options=OPTIONS)
ELSEWHERE = pycolmap.Sim3d(2.5, pycolmap.Rotation3d(np.array([0.3, -1.0, 2.0])), np.array([4.0, -7, 1]))


@pytest.fixture
def database(bridged_scene, tmp_path):
    across = [(a, b) for a in OLD for b in NEW[:2]]
    return bridged(bridged_scene, tmp_path / "db.db", [NEW[:2], *all_pairs(NEW[2:])], across)


@pytest.fixture
def other(bridged_scene, tmp_path):
    return bridged_scene.model(tmp_path / "old" / "1", NEW, ELSEWHERE)


def test_images_get_the_poses_of_another_model(bridged_scene, database, old, other, tmp_path):
    alone = extend(database, old, tmp_path / "alone")
    assert (alone.added, tuple(alone.not_placed)) == (names(bridged_scene, NEW[:2]), names(bridged_scene, NEW[2:]))
    result = extend(database, old, tmp_path / "new", join=[other])
    assert (result.added, result.not_placed, result.not_joined) == (names(bridged_scene, NEW), {}, {})
    assert result.is_whole
    new = read_model(result.model)
    require_kept(read_model(old), new)
    errors = compare_with_truth(new, bridged_scene.truth)
    assert errors.rotation_deg.max() < 0.5
    assert min(new.find_image_with_name(name).num_points3D for name in names(bridged_scene, NEW)) >= 30


def test_adjusted_all_move(bridged_scene, database, old, other, tmp_path):
    result = extend(database, old, tmp_path / "new", join=[other], adjust=True)
    assert (result.added, result.is_adjusted) == (names(bridged_scene, NEW), True)
    assert compare_with_truth(read_model(result.model), bridged_scene.truth).rotation_deg.max() < 0.5


@pytest.mark.parametrize("common", [0, 1])
def test_too_few_images_in_common_are_told(bridged_scene, old, other, tmp_path, common):
    across = [(a, b) for a in OLD for b in NEW[:common]]
    database = bridged(bridged_scene, tmp_path / "db.db", all_pairs(NEW[common:]), across)
    result = extend(database, old, tmp_path / "new", join=[other])
    assert (result.added, result.is_whole) == (names(bridged_scene, NEW[:common]), False)
    told = f"not joined: {other} has {common} of its 6 images in common with the extended model, expected "
    assert f"{told}two: match its images with those of the model" in str(result)


@pytest.mark.parametrize("names_the_nearer_first", [True, False])
def test_models_that_hang_together_are_joined_in_any_order(bridged_scene, old, tmp_path, names_the_nearer_first):
    """The second one has no image in common with the extended model until the first is joined."""
    database = bridged_scene.write(tmp_path / "db.db", all_pairs(OLD) + all_pairs((6, 7, 8)) + all_pairs((9, 10, 11)))
    nearer = bridged_scene.model(tmp_path / "b", (4, 5, 6, 7, 8), ELSEWHERE)
    farther = bridged_scene.model(tmp_path / "c", (7, 8, 9, 10, 11), ELSEWHERE)
    others = [nearer, farther] if names_the_nearer_first else [farther, nearer]
    result = extend(database, old, tmp_path / "new", join=others)
    assert (result.added, result.not_placed, result.not_joined) == (names(bridged_scene, NEW), {}, {})
    assert compare_with_truth(read_model(result.model), bridged_scene.truth).rotation_deg.max() < 0.5


def test_a_model_of_images_that_the_database_lacks_is_told_with_its_own_count(bridged_scene, old, other, tmp_path):
    database = bridged(bridged_scene, tmp_path / "db.db")
    remove_images(database, names(bridged_scene, NEW))
    result = extend(database, old, tmp_path / "new", join=[other])
    assert f"not joined: {other} has 0 of its 6 images in common with the extended model, expected" in str(result)


def test_poses_that_disagree_are_told(bridged_scene, database, old, other, tmp_path):
    wrong = read_model(other)
    turn = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0.2, 0])), np.zeros(3))
    frame = wrong.frames[wrong.find_image_with_name(bridged_scene.names[NEW[0] - 1]).frame_id]
    frame.rig_from_world = turn * frame.rig_from_world
    wrong.write_binary(other)
    result = extend(database, old, tmp_path / "new", join=[other])
    assert (result.added, result.is_whole) == (names(bridged_scene, NEW[:2]), False)
    assert f"not joined: {other} has 2 images in common with the model, but no two agree" in str(result)


def test_of_three_in_common_one_may_be_wrong(bridged_scene, old, other, tmp_path):
    wrong = read_model(other)
    frame = wrong.frames[wrong.find_image_with_name(bridged_scene.names[NEW[1] - 1]).frame_id]
    frame.rig_from_world = pycolmap.Rigid3d()
    wrong.write_binary(other)
    across = [(a, b) for a in OLD for b in NEW[:3]]
    database = bridged(bridged_scene, tmp_path / "db.db", all_pairs(NEW[:3]) + all_pairs(NEW[3:]), across)
    result = extend(database, old, tmp_path / "new", join=[other])
    assert (result.added, result.not_joined) == (names(bridged_scene, NEW), {})
    assert compare_with_truth(read_model(result.model), bridged_scene.truth).rotation_deg.max() < 0.5


def test_cameras_that_the_model_lacks_are_those_of_the_joined_one(bridged_scene, database, old, other, tmp_path):
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in ("frame_data", "frames", "rig_sensors", "rigs"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute(
            "INSERT INTO cameras SELECT 2, model, width, height, params, prior_focal_length FROM cameras"
        )
        params = np.array([700.0, 400, 300, 0])
        connection.execute("UPDATE cameras SET params = ? WHERE camera_id = 2", (params.tobytes(),))
        connection.execute("UPDATE images SET camera_id = 2 WHERE image_id > 5")
    held = replace(OPTIONS, refine_cameras=RefineCameras.NO)
    result = extend_model(database, old, tmp_path / "new", join=[other], options=held)
    assert result.added == names(bridged_scene, NEW)
    new = read_model(result.model)
    assert new.cameras[2].params.tolist() == bridged_scene.truth.cameras[1].params.tolist()
    assert compare_with_truth(new, bridged_scene.truth).rotation_deg.max() < 0.5


def test_photographs_of_other_sizes_are_refused(bridged_scene, database, old, other, tmp_path):
    wrong = read_model(other)
    wrong.cameras[1].width += 1
    wrong.write_binary(other)
    with pytest.raises(RuntimeError, match=f"px in {other}, .* expected the same photographs"):
        extend(database, old, tmp_path / "new", join=[other])


def test_a_model_that_would_be_replaced_is_refused(bridged_scene, database, old, other, tmp_path):
    shutil.copytree(other, tmp_path / "new" / "0")
    with pytest.raises(RuntimeError, match="which this run would replace: give another --output"):
        extend(database, old, tmp_path / "new", join=[tmp_path / "new" / "0"])
    assert extend(database, old, old, join=[other]).added == names(bridged_scene, NEW)  # beside it, it stays
    assert read_model(other).num_reg_images() == 6
