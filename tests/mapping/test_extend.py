"""Photographs placed in a model that is there."""

import logging
import os
import re
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.synthetic_model import renumbered, synthetic_database, synthetic_rig

from d2sfm.colmap import read_model
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.exchange.remove import remove_images
from d2sfm.mapping import growth, model_files
from d2sfm.mapping.extend import extend_model, needs_keypoints
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.mapping.transcription import OtherKeypoints
from d2sfm.mapping.triangulate import triangulate
from d2sfm.options import ReconstructionOptions, TriangulationOptions

OPTIONS = ReconstructionOptions(num_threads=1, min_starts=1, max_starts=1)
extend = partial(extend_model, options=OPTIONS)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(database of eight images, true model, names, folder of a model of the first five)."""
    folder = tmp_path_factory.mktemp("scene")
    truth = synthetic_database(folder / "db.db", 8, inlier_ratio=0.8)
    names = sorted(image.name for image in truth.images.values())
    first = shutil.copy(folder / "db.db", folder / "first.db")
    remove_images(first, names[5:])
    reconstruct(first, folder / "sparse", options=OPTIONS)
    return folder / "db.db", truth, names, folder / "sparse" / "0"


@pytest.fixture
def database(scene, tmp_path):
    return shutil.copy(scene[0], tmp_path / "db.db")


@pytest.fixture
def model(scene, tmp_path):
    return shutil.copytree(scene[3], tmp_path / "old" / "0")


def poses(model):
    """By name, as numbers."""
    found = {}
    for image in (model.images[image_id] for image_id in model.reg_image_ids()):
        pose = image.cam_from_world()
        found[image.name] = (*pose.rotation.quat.tolist(), *pose.translation.tolist())
    return found


def points(model):
    return {point_id: (*point.xyz.tolist(), *point.color.tolist()) for point_id, point in model.points3D.items()}


def cameras(model):
    return {camera_id: camera.params.tolist() for camera_id, camera in model.cameras.items()}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def is_kept(before, after):
    """Whether all that a model had is in another one, to the last bit."""
    return all(of(before).items() <= of(after).items() for of in (poses, points, cameras))


def test_new_images_are_placed_and_all_that_is_old_stays(scene, database, model, tmp_path):
    _, truth, names, _ = scene
    before, old = files(model), read_model(model)
    result = extend(database, model, tmp_path / "new")
    assert (result.model, result.added, result.not_placed) == (tmp_path / "new" / "0", tuple(names[5:]), {})
    assert result.is_whole
    assert f"extend: 3 images added, {tmp_path / 'new' / '0'} has 8 of 8 images, " in str(result)
    new = read_model(result.model)
    assert is_kept(old, new)
    assert files(model) == before
    assert len(new.points3D) >= len(old.points3D)
    errors = compare_with_truth(new, truth)
    assert errors.names == tuple(names)
    assert errors.rotation_deg.max() < 0.5
    assert min(image.num_points3D for image in new.images.values()) >= 50


def test_adjusted_all_move_and_the_world_stays(scene, database, model, tmp_path):
    _, truth, names, _ = scene
    old = read_model(model)
    result = extend(database, model, tmp_path / "new", adjust=True)
    new = read_model(result.model)
    assert (result.added, result.is_adjusted) == (tuple(names[5:]), True)
    before, after = poses(old), poses(new)
    assert all(before[name] != after[name] for name in names[:5])
    centres = {
        which: np.array([model.find_image_with_name(name).projection_center() for name in names[:5]])
        for which, model in (("old", old), ("new", new))
    }
    extent = np.ptp(centres["old"], axis=0).max()
    assert np.abs(centres["old"] - centres["new"]).max() < 0.02 * extent
    assert np.abs((centres["old"] - centres["new"]).mean(axis=0)).max() < 1e-9 * extent
    assert compare_with_truth(new, truth).rotation_deg.max() < 0.5


@pytest.mark.parametrize("adjust", [False, True])
def test_new_points_are_coloured_and_no_photograph_is_read_that_shows_none(
    scene, database, model, adjust, tmp_path, monkeypatch
):
    """Old points keep their colours, also when they move. An image that the database lacks sees no new ones."""
    read, names = [], scene[2]

    def white(path, size):
        read.append(path.name)
        return np.full((size[1], size[0], 3), 255, np.uint8)

    known = read_model(model)
    for point_id in sorted(known.points3D)[:40]:
        known.delete_point3D(point_id)
    for point in known.points3D.values():
        point.color = [1, 2, 3]
    known.write_binary(model)
    remove_images(database, names[:1])
    monkeypatch.setattr(model_files, "load_photograph", white)
    result = extend(database, model, tmp_path / "new", images=tmp_path, adjust=adjust)
    assert sorted(read) == names[1:]
    new = read_model(result.model)
    assert len(set(new.points3D) - set(known.points3D)) == result.new_points > 0
    of_old = {True: set(), False: set()}
    for point_id, point in new.points3D.items():
        of_old[point_id in known.points3D].add(tuple(point.color.tolist()))
    assert of_old == {True: {(1, 2, 3)}, False: {(255, 255, 255)}}


def test_images_that_are_not_asked_for_stay_out(scene, database, model, tmp_path):
    *_, unplaced, one, two = scene[2]
    add_image(database, "other.jpg")
    result = extend(database, model, tmp_path / "new", only=[one, two])
    assert (result.added, result.not_placed) == ((one, two), {})
    result = extend(database, result.model, tmp_path / "newer", only=["other.jpg"])
    assert (result.added, list(result.not_placed)) == ((), ["other.jpg"])
    result = extend(database, result.model, tmp_path / "newest")
    assert (result.added, list(result.not_placed)) == ((unplaced,), ["other.jpg"])


def test_an_adjustment_that_spoils_the_model_is_not_taken(scene, database, model, tmp_path, monkeypatch, caplog):
    def spoil(model, given, refine_distortion, manager):
        for camera in model.cameras.values():
            camera.focal_length = 1e-3

    monkeypatch.setattr(growth, "adjust_robustly", spoil)
    result = extend(database, model, tmp_path / "new", adjust=True)
    assert (result.added, result.is_adjusted) == (tuple(scene[2][5:]), False)
    assert "the adjustment made images lose their points: poses, cameras and points stay as they were" in caplog.text
    assert is_kept(read_model(model), read_model(result.model))


def test_a_single_photograph_and_none(scene, database, model, tmp_path):
    names = scene[2]
    remove_images(database, names[6:])
    one = extend(database, model, tmp_path / "one")
    assert one.added == (names[5],)
    assert is_kept(read_model(model), read_model(one.model))
    before = files(one.model)
    none = extend(database, one.model, one.model)
    assert (none.added, none.is_whole, files(one.model)) == ((), True, before)
    assert "nothing to add" in str(none)


def test_other_ids_are_the_databases_by_name(scene, database, tmp_path):
    _, _, names, folder = scene
    known = renumbered(read_model(folder), images=100, cameras=7)
    (tmp_path / "other").mkdir()
    known.write_binary(tmp_path / "other")
    result = extend(database, tmp_path / "other", tmp_path / "new")
    new = read_model(result.model)
    with pycolmap.Database.open(database) as colmap:
        ids = {image.name: image.image_id for image in colmap.read_all_images()}
    assert {image.name: image.image_id for image in new.images.values()} == ids
    assert is_kept(known, new)
    assert result.added == tuple(names[5:])
    assert set(new.cameras) == {8}  # of one camera in the database, that is the model's


def test_images_that_only_the_model_has_stay(scene, database, model, tmp_path, caplog):
    names = scene[2]
    remove_images(database, names[:2])
    result = extend(database, model, tmp_path / "new")
    assert result.only_in_model == tuple(names[:2])
    assert f"2 images ({names[0]} the first) of {model} not in {database}: these stay" in caplog.text
    new = read_model(result.model)
    assert is_kept(read_model(model), new)
    assert sorted(poses(new)) == names
    adjusted = read_model(extend(database, model, tmp_path / "adjusted", adjust=True).model)
    assert sorted(poses(adjusted)) == names
    remove_images(database, names[2:5])
    with pytest.raises(RuntimeError, match="have no image in common"):
        extend(database, model, tmp_path / "other")


def test_an_image_whose_keypoints_are_gone_from_the_database_stays_in_the_model(
    scene, database, model, tmp_path, caplog
):
    names = scene[2]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "DELETE FROM keypoints WHERE image_id = (SELECT image_id FROM images WHERE name = ?)", names[:1]
        )
    result = extend(database, model, tmp_path / "new")
    assert is_kept(read_model(model), read_model(result.model))
    assert (result.added, result.not_placed, result.images) == (tuple(names[5:]), {}, 8)
    assert result.only_in_model == ()
    assert f"{names[0]} has no keypoints" in caplog.text


def add_image(database, name, keypoints=None, matches=None):
    """One of another place: some keypoints, and matches with image 1 that agree on nothing."""
    with pycolmap.Database.open(database) as colmap:
        [camera] = colmap.read_all_cameras()
        image_id = colmap.write_image(pycolmap.Image(name=name, camera_id=camera.camera_id))
        frame = pycolmap.Frame(rig_id=colmap.read_all_rigs()[0].rig_id)
        frame.add_data_id(colmap.read_image(image_id).data_id)
        colmap.write_frame(frame)
        if keypoints is not None:
            colmap.write_keypoints(image_id, keypoints)
        if matches is not None:
            colmap.write_matches(1, image_id, matches)
            colmap.write_two_view_geometry(1, image_id, pycolmap.TwoViewGeometry())


def test_what_cannot_be_placed_is_named_with_the_reason(scene, database, model, tmp_path):
    keypoints = np.random.default_rng(1).uniform(1, 500, (60, 2)).astype(np.float32)
    matches = np.arange(30, dtype=np.uint32).repeat(2).reshape(-1, 2)
    add_image(database, "blank.jpg")
    add_image(database, "elsewhere.jpg", keypoints, matches)
    add_image(database, "unmatched.jpg", keypoints)
    result = extend(database, model, tmp_path / "new")
    assert result.added == tuple(scene[2][5:])
    blank, elsewhere, unmatched = result.not_placed.values()
    assert list(result.not_placed) == ["blank.jpg", "elsewhere.jpg", "unmatched.jpg"]
    assert "no keypoints" in blank
    assert re.search(r"of 1 pair, at best 0 of 30 matches, with .*\): it shows another place", elsewhere)
    assert "was not matched with an image of the model" in unmatched
    assert f"not placed: blank.jpg {blank}" in str(result)
    again = extend(database, result.model, result.model)
    assert not again.is_whole
    assert again.not_placed == result.not_placed


def test_too_few_points_and_no_common_pose_are_told_apart(scene, database, model, tmp_path):
    last = scene[2][-1]
    with closing(sqlite3.connect(database)) as connection, connection:
        [(image_id,)] = connection.execute("SELECT image_id FROM images WHERE name = ?", (last,))
        of_last = f"(pair_id > {image_id} * 2147483647 OR pair_id % 2147483647 = {image_id})"
        one = f"(SELECT min(pair_id) FROM two_view_geometries WHERE rows >= 18 AND {of_last})"
        connection.execute(f"DELETE FROM two_view_geometries WHERE {of_last} AND pair_id != {one}")
        connection.execute(f"UPDATE two_view_geometries SET rows = 18, data = substr(data, 1, 144) WHERE {of_last}")
        connection.execute(f"UPDATE matches SET rows = 18, data = substr(data, 1, 144) WHERE {of_last}")
    few = extend(database, model, tmp_path / "few")
    assert re.match(r"has matches with \d+ points of the model, expected 30", few.not_placed[last])
    shutil.copy(scene[0], database)
    with closing(sqlite3.connect(database)) as connection, connection:
        [(data,)] = connection.execute("SELECT data FROM keypoints WHERE image_id = ?", (image_id,))
        shuffled = np.random.default_rng(0).permutation(np.frombuffer(data, "<f4").reshape(-1, 6))
        connection.execute("UPDATE keypoints SET data = ? WHERE image_id = ?", (shuffled.tobytes(), image_id))
    wrong = extend(database, model, tmp_path / "wrong")
    assert "no pose agrees with 30 of them" in wrong.not_placed[last]


def test_a_model_of_other_keypoints_is_refused_and_triangulated_it_is_a_frame(scene, database, model, tmp_path):
    """The way for models of other programs."""
    names = scene[2]
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute("SELECT image_id, data FROM keypoints").fetchall()
        for image_id, data in rows:
            moved = np.frombuffer(data, "<f4").reshape(-1, 6).copy()
            moved[:, :2] += 0.25
            connection.execute("UPDATE keypoints SET data = ? WHERE image_id = ?", (moved.tobytes(), image_id))
    with pytest.raises(
        OtherKeypoints,
        match=r"keypoints that differ from .* in 5 images .*: run d2sfm triangulate "
        "--reference ",
    ):
        needs_keypoints(database, model, tmp_path / "new")
    with pytest.raises(OtherKeypoints):
        extend(database, model, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    options = TriangulationOptions(num_threads=1)
    found = triangulate(database, model, tmp_path / "triangulated", options=options)
    result = extend(database, found.model, tmp_path / "new")
    assert result.added == tuple(names[5:])
    new, reference = read_model(result.model), read_model(model)
    assert is_kept(read_model(found.model), new)
    assert cameras(reference) == cameras(new)
    for name, pose in poses(reference).items():
        assert np.abs(np.subtract(poses(new)[name], pose)).max() < 1e-15  # of quaternions that are read


def test_what_can_not_be_extended_is_known_beforehand(database, model, tmp_path):
    assert needs_keypoints(database, model, tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no COLMAP model in"):
        needs_keypoints(database, model, tmp_path / "new", join=[tmp_path / "none"])
    with pytest.raises(RuntimeError, match="which this run would replace: give another --output"):
        needs_keypoints(database, model, model.parent)
    assert not (tmp_path / "new").exists()
    poses_alone = read_model(model)
    for point_id in list(poses_alone.points3D):
        poses_alone.delete_point3D(point_id)
    poses_alone.write(model)
    assert not needs_keypoints(database, model, model)


def test_sizes_that_differ_are_refused(scene, database, model, tmp_path):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE cameras SET width = width + 1")
    with pytest.raises(RuntimeError, match="expected the same photographs"):
        extend(database, model, tmp_path / "new")


def test_the_model_is_replaced_in_its_own_folder_alone(scene, database, model):
    (model / "notes.md").write_text("mine")
    read_model(model).write_text(model)
    shutil.copytree(model, model.parent / "1")
    old = read_model(model)
    with pytest.raises(RuntimeError, match=r"holds .*, which this run would replace: give another --output"):
        extend(database, model, model.parent)
    result = extend(database, model, model)
    assert result.model == model
    assert is_kept(old, read_model(model))
    assert len(read_model(model).reg_image_ids()) == 8
    assert (model / "notes.md").read_text() == "mine"
    as_text = pycolmap.Reconstruction()
    as_text.read_text(model)
    assert len(as_text.reg_image_ids()) == 8
    assert sorted(path.name for path in model.parent.iterdir()) == ["0", "1"]


@pytest.mark.parametrize("place", ["the model", "the folder around it"])
def test_a_model_that_can_not_be_replaced_is_told_before_the_work(scene, database, model, place, monkeypatch):
    read_only = model if place == "the model" else model.parent
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != read_only and may(path, mode))
    monkeypatch.setattr(growth.Growth, "place", None)  # the work
    before = files(model)
    with pytest.raises(RuntimeError, match=re.escape(f"{model} can't be written: {read_only} is read-only")):
        extend(database, model, model)
    assert files(model) == before


@pytest.mark.parametrize("moment", ["whole", "aside"])
def test_a_kill_while_the_model_is_replaced_loses_nothing(scene, database, model, moment, monkeypatch):
    """The old model or the new one is there when the next run has begun."""
    from d2sfm import parts

    class Killed(BaseException):
        pass

    rename = parts.Path.rename

    def dies(path, target):
        if moment == "whole" and path == model:  # the new one is whole, and the old one in its place
            raise Killed
        rename(path, target)
        if moment == "aside" and path == model:  # the old one is put aside
            raise Killed

    old = read_model(model)
    with monkeypatch.context() as patch:
        patch.setattr(parts.Path, "rename", dies)
        with pytest.raises(Killed):
            extend(database, model, model)
    result = extend(database, model, model)
    assert (result.added, result.statistics.images) == ((), 8)
    assert is_kept(old, read_model(model))
    assert [path.name for path in model.parent.iterdir()] == ["0"]


def test_frames_of_a_rig_are_placed_whole_and_a_late_image_gets_the_pose_of_its_frame(tmp_path):
    database = tmp_path / "db.db"
    truth = synthetic_rig(database, num_frames=6)
    known = renumbered(truth, images=0, cameras=0)
    frames = sorted(truth.frames)
    for frame_id in frames[-2:]:
        known.deregister_frame(frame_id)
    (tmp_path / "all").mkdir()
    known.write_binary(tmp_path / "all")
    result = extend(database, tmp_path / "all", tmp_path / "new")
    new = read_model(result.model)
    assert len(result.added) == 4
    assert is_kept(read_model(tmp_path / "all"), new)
    assert len(new.reg_frame_ids()) == 6
    [rig] = new.rigs.values()
    [(sensor, pose)] = rig.non_ref_sensors.items()
    assert pose.translation.tolist() == truth.rigs[1].sensor_from_rig(sensor).translation.tolist()
    assert compare_with_truth(new, truth).rotation_deg.max() < 0.5
    # One image of a frame that the model has is new.
    late = next(image for image in new.images.values() if not image.is_ref_in_frame())
    before = late.cam_from_world().matrix()
    first = shutil.copy(database, tmp_path / "first.db")
    lacking = renumbered(new, images=0, cameras=0, without={late.name})
    (tmp_path / "lacking").mkdir()
    lacking.write_binary(tmp_path / "lacking")
    found = read_model(extend(first, tmp_path / "lacking", tmp_path / "late").model).find_image_with_name(late.name)
    assert np.abs(found.cam_from_world().matrix() - before).max() < 1e-12
    assert found.num_points3D > 30


def test_a_rig_of_whose_cameras_one_has_no_image_in_the_model(tmp_path):
    truth = synthetic_rig(tmp_path / "db.db")
    late = sorted(image.name for image in truth.images.values() if not image.is_ref_in_frame())
    (tmp_path / "model").mkdir()
    renumbered(truth, images=0, cameras=0, without=late).write_binary(tmp_path / "model")
    result = extend(tmp_path / "db.db", tmp_path / "model", tmp_path / "new")
    assert result.added == tuple(late)
    assert is_kept(read_model(tmp_path / "model"), read_model(result.model))
    assert compare_with_truth(read_model(result.model), truth).rotation_deg.max() < 0.5


@pytest.mark.parametrize("num_rigs", [1, 2])
def test_poses_in_a_rig_that_the_database_lacks_are_the_models_or_left_open(tmp_path, num_rigs):
    """As after --mapper global, which finds them. The second rig is not in the model."""
    truth = synthetic_database(tmp_path / "db.db", 5, num_rigs=num_rigs, num_cameras=2)
    with closing(sqlite3.connect(tmp_path / "db.db")) as connection, connection:
        connection.execute("UPDATE rig_sensors SET sensor_from_rig = NULL")
    last = max(frame_id for frame_id, frame in truth.frames.items() if frame.rig_id == 1)
    late = [frame for frame_id, frame in truth.frames.items() if frame.rig_id > 1 or frame_id == last]
    names = sorted(truth.images[data.id].name for frame in late for data in frame.image_ids)
    (tmp_path / "model").mkdir()
    renumbered(truth, images=0, cameras=0, without=names).write_binary(tmp_path / "model")
    result = extend(tmp_path / "db.db", tmp_path / "model", tmp_path / "new")
    assert result.added == tuple(names)
    old, new = read_model(tmp_path / "model"), read_model(result.model)
    assert all(of(old).items() <= of(new).items() for of in (poses, points))
    assert sorted(rig.num_sensors() for rig in new.rigs.values()) == [*[1] * 2 * (num_rigs - 1), 2]
    assert compare_with_truth(new, truth).rotation_deg.max() < 0.5


def test_new_images_share_the_models_camera_or_bring_their_own(tmp_path, scene):
    """A camera that the model has stays; one of new images alone is refined."""
    database = tmp_path / "two.db"
    truth = synthetic_database(database, 4, num_rigs=2, seed=2)
    with pycolmap.Database.open(database) as colmap:
        of_second = colmap.read_camera(2)
        of_second.focal_length = 1.05 * of_second.focal_length
        of_second.has_prior_focal_length = False
        colmap.update_camera(of_second)
    of_second = {image.name for image in truth.images.values() if image.camera_id == 2}
    (tmp_path / "known").mkdir()
    renumbered(truth, images=0, cameras=0, without=of_second).write_binary(tmp_path / "known")
    result = extend(database, tmp_path / "known", tmp_path / "new")
    assert result.added == tuple(sorted(of_second))
    new = read_model(result.model)
    found = new.find_image_with_name(min(of_second)).camera
    assert new.cameras[1].params.tolist() == truth.cameras[1].params.tolist()
    assert abs(found.focal_length / truth.cameras[2].focal_length - 1) < 0.01


def test_new_images_get_a_camera_that_the_model_has_in_equal_copies(scene, database, tmp_path):
    """As models of other programs have one for each image."""
    _, _, names, folder = scene
    copies = renumbered(read_model(folder), images=0, cameras=0, camera_of_each=True)
    (tmp_path / "copies").mkdir()
    copies.write_binary(tmp_path / "copies")
    result = extend(database, tmp_path / "copies", tmp_path / "new")
    new = read_model(result.model)
    assert result.added == tuple(names[5:])
    assert is_kept(copies, new)
    assert len(new.cameras) == 5


def test_the_seed_gives_one_model(scene, database, model, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first, second = (extend(database, model, tmp_path / name).model for name in ("a", "b"))
    assert files(first) == files(second)
