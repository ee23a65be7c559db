"""Databases with keypoints behind those of another extractor, and models made before these came."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pycolmap
import pytest
from support.bridged_scene import BridgedScene, all_pairs
from support.runs import PROCESSES

from d2sfm.colmap import read_model
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.exchange.remove import remove_images
from d2sfm.mapping.extend import extend_model
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.mapping.transcription import OtherKeypoints
from d2sfm.options import ReconstructionOptions, RefineCameras

pytestmark = pytest.mark.slow

OPTIONS = ReconstructionOptions(num_threads=1, min_starts=1, max_starts=1)
extend = partial(extend_model, options=OPTIONS)
OLD, NEW = (1, 2, 3, 4, 5), (6, 7, 8, 9, 10, 11)
ELSEWHERE = pycolmap.Sim3d(2.5, pycolmap.Rotation3d(np.array([0.3, -1.0, 2.0])), np.array([4.0, -7, 1]))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return BridgedScene(tmp_path_factory.mktemp("scene"), 11)


@pytest.fixture
def old(scene, tmp_path):
    return scene.model(tmp_path / "old" / "0", OLD)


def bridged(scene, path, pairs_of_new=None, across=None):
    """Old and new images have pairs of the first kind among themselves, and of the second kind with each other."""
    pairs_of_new = all_pairs(NEW) if pairs_of_new is None else pairs_of_new
    across = [(a, b) for a in OLD for b in NEW] if across is None else across
    return scene.write(path, all_pairs(OLD) + pairs_of_new, all_pairs(OLD) + across)


def names(scene, image_ids):
    return tuple(scene.names[image_id - 1] for image_id in image_ids)


def content(model):
    """All that a model says of its images and points, as numbers."""
    found = {}
    for image in (model.images[image_id] for image_id in model.reg_image_ids()):
        pose = image.cam_from_world()
        found[image.name] = (*pose.rotation.quat.tolist(), *pose.translation.tolist())
    for point_id, point in model.points3D.items():
        found[point_id] = (*point.xyz.tolist(), *point.color.tolist())
    return found | {("camera", camera_id): camera.params.tolist() for camera_id, camera in model.cameras.items()}


def tracks(model, image_names):
    """Which keypoints of these images see a point, by id."""
    return {
        point_id: sorted(
            (model.images[element.image_id].name, element.point2D_idx)
            for element in point.track.elements
            if model.images[element.image_id].name in image_names
        )
        for point_id, point in model.points3D.items()
    }


def require_kept(old, new):
    """All that a model had is in another one, to the last bit, and no old image sees an old point elsewhere."""
    assert content(old).items() <= content(new).items()
    of_old = {image.name for image in old.images.values()}
    now = tracks(new, of_old)
    assert tracks(old, of_old) == {point_id: now[point_id] for point_id in old.points3D}
    for image in old.images.values():
        xy = [point.xy.tolist() for point in new.find_image_with_name(image.name).points2D]
        assert [point.xy.tolist() for point in image.points2D] == xy[: image.num_points2D()]
        assert len(xy) > image.num_points2D()


def test_a_model_made_before_is_extended_by_the_keypoints_that_came(scene, old, tmp_path):
    result = extend(bridged(scene, tmp_path / "db.db"), old, tmp_path / "new")
    assert (result.added, result.not_placed, result.is_whole) == (names(scene, NEW), {}, True)
    before, new = read_model(old), read_model(result.model)
    require_kept(before, new)
    assert len(new.points3D) > len(before.points3D) + 60
    assert compare_with_truth(new, scene.truth).rotation_deg.max() < 0.5
    adjusted = read_model(extend(bridged(scene, tmp_path / "db2.db"), old, tmp_path / "adjusted", adjust=True).model)
    assert compare_with_truth(adjusted, scene.truth).rotation_deg.max() < 0.5


def test_points_come_to_a_model_that_has_all_images_or_none_can_be_placed_in(scene, old, tmp_path):
    database = bridged(scene, tmp_path / "db.db", across=[])
    before = read_model(old)
    result = extend(database, old, tmp_path / "new")
    assert (result.added, tuple(result.not_placed), result.is_whole) == ((), names(scene, NEW), False)
    remove_images(database, names(scene, NEW))
    whole = extend(database, old, old)
    assert (whole.added, whole.not_placed, whole.is_whole) == ((), {}, True)
    assert f"extend: {whole.new_points} points added, 5 of 5 are in {old}" in str(whole)
    for model in (read_model(result.model), read_model(old)):
        require_kept(before, model)
        assert len(model.points3D) == len(before.points3D) + whole.new_points > len(before.points3D) + 60


def test_an_old_image_comes_to_see_old_points_only_where_these_lie(scene, old, tmp_path):
    database, known = bridged(scene, tmp_path / "db.db"), read_model(old)
    seen = {place: known.images[1].points2D[place].point3D_id for place in range(20)}
    for place in seen:
        known.delete_observation(1, place)
    known.write_binary(old)
    with closing(sqlite3.connect(database)) as connection, connection:
        [(data,)] = connection.execute("SELECT data FROM keypoints WHERE image_id = 1")
        rows = np.frombuffer(data, "<f4").reshape(-1, 2).copy()
        rows[:10] += 6
        connection.execute("UPDATE keypoints SET data = ? WHERE image_id = 1", (rows.tobytes(),))
    image = read_model(extend(database, old, tmp_path / "new").model).images[1]
    sees = [image.points2D[place].has_point3D() and image.points2D[place].point3D_id == seen[place] for place in seen]
    assert not any(sees[:10])
    assert sum(sees[10:]) >= 8


def go_on(database, model, folder):
    """COLMAP's own triangulation and mapping, which end the process at a model of fewer keypoints than the database."""
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    folder.mkdir()
    given = pycolmap.Reconstruction(model)
    pycolmap.triangulate_points(given, database, folder, folder, clear_points=False)
    options = pycolmap.IncrementalPipelineOptions(num_threads=1, fix_existing_frames=True)
    [mapped] = pycolmap.incremental_mapping(database, folder, folder, options, input_path=model).values()
    assert mapped.num_reg_images() == 11


def test_colmap_goes_on_with_the_extended_model(scene, old, tmp_path):
    """As it has all keypoints of the database, also where nothing can be placed."""
    database = bridged(scene, tmp_path / "db.db", across=[])
    padded = extend(database, old, tmp_path / "padded").model
    process = PROCESSES.Process(target=go_on, args=(bridged(scene, tmp_path / "all.db"), padded, tmp_path / "colmap"))
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("change", ["moved", "in front"])
def test_a_model_of_other_keypoints_than_the_first_is_refused(scene, old, tmp_path, change):
    database = bridged(scene, tmp_path / "db.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        for image_id, data in connection.execute("SELECT image_id, data FROM keypoints").fetchall():
            rows = np.frombuffer(data, "<f4").reshape(-1, 2).copy()
            rows = rows + np.float32(0.25) if change == "moved" else np.roll(rows, 1, axis=0)
            connection.execute("UPDATE keypoints SET data = ? WHERE image_id = ?", (rows.tobytes(), image_id))
    with pytest.raises(OtherKeypoints, match=r"points of other keypoints than those of .* in 5 images"):
        extend(database, old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bridged_database_is_mapped(scene, tmp_path):
    database = scene.write(tmp_path / "apart.db", all_pairs(OLD) + all_pairs(NEW))
    apart = reconstruct(database, tmp_path / "apart", options=OPTIONS)
    assert [each.images for each in apart.statistics] == [6, 5]
    result = reconstruct(bridged(scene, tmp_path / "db.db"), tmp_path / "sparse", options=OPTIONS)
    assert [each.images for each in result.statistics] == [11]
    assert compare_with_truth(read_model(result.models[0]), scene.truth).rotation_deg.max() < 0.5


class TestJoin:
    """Two of the new images can be placed, and the others only have pairs with each other."""

    @pytest.fixture
    def database(self, scene, tmp_path):
        across = [(a, b) for a in OLD for b in NEW[:2]]
        return bridged(scene, tmp_path / "db.db", [NEW[:2], *all_pairs(NEW[2:])], across)

    @pytest.fixture
    def other(self, scene, tmp_path):
        return scene.model(tmp_path / "old" / "1", NEW, ELSEWHERE)

    def test_images_get_the_poses_of_another_model(self, scene, database, old, other, tmp_path):
        alone = extend(database, old, tmp_path / "alone")
        assert (alone.added, tuple(alone.not_placed)) == (names(scene, NEW[:2]), names(scene, NEW[2:]))
        result = extend(database, old, tmp_path / "new", join=[other])
        assert (result.added, result.not_placed, result.not_joined) == (names(scene, NEW), {}, {})
        assert result.is_whole
        new = read_model(result.model)
        require_kept(read_model(old), new)
        errors = compare_with_truth(new, scene.truth)
        assert errors.rotation_deg.max() < 0.5
        assert min(new.find_image_with_name(name).num_points3D for name in names(scene, NEW)) >= 30

    def test_adjusted_all_move(self, scene, database, old, other, tmp_path):
        result = extend(database, old, tmp_path / "new", join=[other], adjust=True)
        assert (result.added, result.is_adjusted) == (names(scene, NEW), True)
        assert compare_with_truth(read_model(result.model), scene.truth).rotation_deg.max() < 0.5

    @pytest.mark.parametrize("common", [0, 1])
    def test_too_few_images_in_common_are_told(self, scene, old, other, tmp_path, common):
        across = [(a, b) for a in OLD for b in NEW[:common]]
        database = bridged(scene, tmp_path / "db.db", all_pairs(NEW[common:]), across)
        result = extend(database, old, tmp_path / "new", join=[other])
        assert (result.added, result.is_whole) == (names(scene, NEW[:common]), False)
        told = f"not joined: {other} has {common} of its 6 images in common with the model, after all that could be "
        assert f"{told}placed, and two are needed: match them with those of the model" in str(result)

    def test_poses_that_disagree_are_told(self, scene, database, old, other, tmp_path):
        wrong = read_model(other)
        turn = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0.2, 0])), np.zeros(3))
        frame = wrong.frames[wrong.find_image_with_name(scene.names[NEW[0] - 1]).frame_id]
        frame.rig_from_world = turn * frame.rig_from_world
        wrong.write_binary(other)
        result = extend(database, old, tmp_path / "new", join=[other])
        assert (result.added, result.is_whole) == (names(scene, NEW[:2]), False)
        assert f"not joined: {other} has 2 images in common with the model, no two of which agree" in str(result)

    def test_of_three_in_common_one_may_be_wrong(self, scene, old, other, tmp_path):
        wrong = read_model(other)
        wrong.frames[wrong.find_image_with_name(scene.names[NEW[1] - 1]).frame_id].rig_from_world = pycolmap.Rigid3d()
        wrong.write_binary(other)
        across = [(a, b) for a in OLD for b in NEW[:3]]
        database = bridged(scene, tmp_path / "db.db", all_pairs(NEW[:3]) + all_pairs(NEW[3:]), across)
        result = extend(database, old, tmp_path / "new", join=[other])
        assert (result.added, result.not_joined) == (names(scene, NEW), {})
        assert compare_with_truth(read_model(result.model), scene.truth).rotation_deg.max() < 0.5

    def test_cameras_that_the_model_lacks_are_those_of_the_joined_one(self, scene, database, old, other, tmp_path):
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
        assert result.added == names(scene, NEW)
        new = read_model(result.model)
        assert new.cameras[2].params.tolist() == scene.truth.cameras[1].params.tolist()
        assert compare_with_truth(new, scene.truth).rotation_deg.max() < 0.5

    def test_photographs_of_other_sizes_are_refused(self, scene, database, old, other, tmp_path):
        wrong = read_model(other)
        wrong.cameras[1].width += 1
        wrong.write_binary(other)
        with pytest.raises(RuntimeError, match=f"px in {other}, .* they are of other photographs"):
            extend(database, old, tmp_path / "new", join=[other])

    def test_a_model_that_would_be_replaced_is_refused(self, scene, database, old, other, tmp_path):
        shutil.copytree(other, tmp_path / "new" / "0")
        with pytest.raises(RuntimeError, match="which would be replaced: give another --output"):
            extend(database, old, tmp_path / "new", join=[tmp_path / "new" / "0"])
        assert extend(database, old, old, join=[other]).added == names(scene, NEW)  # beside it, it stays
        assert read_model(other).num_reg_images() == 6
