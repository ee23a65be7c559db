import json
import logging
import shutil

import cv2
import numpy as np
import pycolmap
import pytest
from support.database_contents import dump
from support.helpers import textured_picture

from d2sfm.cli import main
from d2sfm.database import FeatureStore, exclusive
from d2sfm.mapping import triangulate as triangulate_module
from d2sfm.mapping.triangulate import triangulate
from d2sfm.options import TriangulationOptions

IMAGES, POINTS = 6, 200


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(database, folder of the true model): two cameras of three images each, half a pixel of noise, wrong matches."""
    folder = tmp_path_factory.mktemp("scene")
    pycolmap.set_random_seed(3)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 2, 1, IMAGES // 2
    options.num_points3D, options.inlier_match_ratio = POINTS, 0.7
    with pycolmap.Database.open(folder / "db.db") as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
        ids = sorted(truth.images)
        for pair in ((a, b) for a in ids for b in ids if a < b):  # verification that let wrong matches through
            geometry = colmap.read_two_view_geometry(*pair)
            geometry.inlier_matches = colmap.read_matches(*pair)
            colmap.update_two_view_geometry(*pair, geometry)
    (folder / "model").mkdir()
    truth.write_binary(folder / "model")
    return folder / "db.db", folder / "model"


@pytest.fixture
def database(scene, tmp_path):
    return shutil.copy(scene[0], tmp_path / "db.db")


def poses(model):
    return {image.name: image.cam_from_world().matrix().tobytes() for image in model.images.values() if image.has_pose}


def intrinsics(model):
    return {
        image.name: (image.camera.model, image.camera.width, image.camera.height, image.camera.params.tobytes())
        for image in model.images.values()
    }


def test_points_are_found_and_cameras_and_the_database_stay_to_the_last_bit(scene, database, tmp_path):
    before, truth = dump(database), pycolmap.Reconstruction(scene[1])
    result = triangulate(database, scene[1], tmp_path / "out")
    found = pycolmap.Reconstruction(result.model)
    assert result.model == tmp_path / "out" / "0"
    assert poses(found) == poses(truth)
    assert intrinsics(found) == intrinsics(truth)
    assert dump(database) == before
    assert result.images == result.statistics.images == IMAGES
    assert found.num_points3D() == result.statistics.points > 0.9 * POINTS
    true_points = np.array([point.xyz for point in truth.points3D.values()])
    points = np.array([point.xyz for point in found.points3D.values()])
    nearest = np.linalg.norm(points[:, None] - true_points[None], axis=2).min(axis=1)
    assert np.median(nearest) < 0.02
    assert 0.6 < result.agreeing / result.matches < 0.9  # of which 0.7 are true
    assert str(result.model) in str(result)
    assert f"{result.agreeing} of {result.matches} verified matches of 15 pairs" in str(result)


def test_the_same_seed_gives_the_same_model(scene, database, tmp_path):
    options = TriangulationOptions(num_threads=1)
    first, second = (triangulate(database, scene[1], tmp_path / name, options=options).model for name in ("a", "b"))
    for name in ("cameras", "images", "points3D"):
        assert (first / f"{name}.bin").read_bytes() == (second / f"{name}.bin").read_bytes()


def test_panoramas_are_triangulated(tmp_path):
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=4)
    options.camera_model_id, options.camera_params = pycolmap.CameraModelId.EQUIRECTANGULAR, [2000, 1000]
    options.camera_width, options.camera_height, options.num_points3D = 2000, 1000, POINTS
    with pycolmap.Database.open(tmp_path / "db.db") as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
    truth.write_binary(tmp_path)
    result = triangulate(tmp_path / "db.db", tmp_path, tmp_path / "out")
    assert (result.agreeing, result.statistics.points) == (result.matches, POINTS)


def edited(scene, tmp_path, edit):
    model = pycolmap.Reconstruction(scene[1])
    edit(model)
    folder = tmp_path / "edited"
    folder.mkdir()
    model.write_binary(folder)
    return folder


def test_images_that_only_one_of_the_two_has_are_named(scene, database, tmp_path, caplog):
    names = sorted(poses(pycolmap.Reconstruction(scene[1])))

    def rename(model):
        next(image for image in model.images.values() if image.name == names[1]).name = "other.jpg"
        gone = next(image for image in model.images.values() if image.name == names[3])
        model.deregister_frame(gone.frame_id)

    result = triangulate(database, edited(scene, tmp_path, rename), tmp_path / "out")
    assert result.without_pose == (names[1], names[3])
    assert result.without_features == ("other.jpg",)
    assert result.images == IMAGES - 2
    found = poses(pycolmap.Reconstruction(result.model))
    assert sorted(found) == [name for name in names if name not in result.without_pose]
    assert f"2 images of {database} without a pose in {tmp_path / 'edited'}: {names[1]}, {names[3]}" in caplog.text
    assert "without features" in caplog.text
    assert "other.jpg" in caplog.text


def test_other_ids_than_the_databases_do_not_matter(scene, database, tmp_path):
    """The reference's ids are its own: here those of the database in reverse."""
    truth, model = pycolmap.Reconstruction(scene[1]), pycolmap.Reconstruction()
    for camera in truth.cameras.values():
        camera = pycolmap.Camera(camera.todict())
        camera.camera_id += 10
        model.add_camera_with_trivial_rig(camera)
    for image_id, image in truth.images.items():
        other = pycolmap.Image(name=image.name, camera_id=image.camera_id + 10, image_id=100 - image_id)
        model.add_image_with_trivial_frame(other, image.cam_from_world())
    (tmp_path / "other").mkdir()
    model.write_binary(tmp_path / "other")
    found = pycolmap.Reconstruction(triangulate(database, tmp_path / "other", tmp_path / "a").model)
    same = pycolmap.Reconstruction(triangulate(database, scene[1], tmp_path / "b").model)
    assert poses(found) == poses(truth)
    assert intrinsics(found) == intrinsics(truth)
    assert found.num_points3D() == same.num_points3D()


def test_a_reference_without_images_in_common_is_refused(scene, database, tmp_path):
    def rename(model):
        for image in model.images.values():
            image.name = f"other/{image.name}"

    with pytest.raises(RuntimeError, match="0 images in common"):
        triangulate(database, edited(scene, tmp_path, rename), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_reference_of_photographs_of_another_size_is_refused(scene, database, tmp_path):
    def shrink(model):
        model.cameras[1].rescale(0.5)

    with pytest.raises(
        RuntimeError,
        match=r"is 512 x 384 px in .*, 1024 x 768 px in .*: expected the same "
        "photographs",
    ):
        triangulate(database, edited(scene, tmp_path, shrink), tmp_path / "out")


def test_without_verified_pairs_it_says_what_to_run(scene, database, tmp_path):
    with pycolmap.Database.open(database) as colmap:
        colmap.clear_two_view_geometries()
    with pytest.raises(RuntimeError, match="run d2sfm match first"):
        triangulate(database, scene[1], tmp_path / "out")


def test_the_reference_is_not_replaced(scene, database, tmp_path):
    shutil.copytree(scene[1], tmp_path / "sparse" / "0")
    with pytest.raises(RuntimeError, match="give another --output"):
        triangulate(database, tmp_path / "sparse" / "0", tmp_path / "sparse")
    (tmp_path / "link").symlink_to(tmp_path / "sparse" / "0")
    with pytest.raises(RuntimeError, match="give another --output"):
        triangulate(database, tmp_path / "link", tmp_path / "sparse")


def test_what_is_missing_broken_or_in_use_is_refused(scene, database, tmp_path):
    with pytest.raises(FileNotFoundError, match="no COLMAP model"):
        triangulate(database, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no database"):
        triangulate(tmp_path / "none.db", scene[1], tmp_path / "out")
    shutil.copytree(scene[1], tmp_path / "cut")
    images = (tmp_path / "cut" / "images.bin").read_bytes()
    (tmp_path / "cut" / "images.bin").write_bytes(images[: len(images) // 2])
    with pytest.raises(RuntimeError, match="can't be read"):
        triangulate(database, tmp_path / "cut", tmp_path / "out")
    with exclusive(database), pytest.raises(RuntimeError, match="in use by another run"):
        triangulate(database, scene[1], tmp_path / "out")


def test_thresholds_grow_with_the_resize_factor(scene, database, tmp_path, monkeypatch):
    tight = TriangulationOptions(max_error=0.25)
    plain = triangulate(database, scene[1], tmp_path / "a", options=tight)
    monkeypatch.setattr(FeatureStore, "resize_factors", lambda store: dict.fromkeys(range(1, 7), 4.0))
    resized = triangulate(database, scene[1], tmp_path / "b", options=tight)
    monkeypatch.undo()
    wide = triangulate(database, scene[1], tmp_path / "c", options=TriangulationOptions(max_error=1.0))
    assert plain.agreeing < resized.agreeing == wide.agreeing


@pytest.mark.parametrize(("unrefined", "expected"), [(0, 1.0), (2, 1.0), (3, 4.0), (6, 4.0)])
def test_images_that_are_not_refined_decide_about_the_pixels_that_count_if_they_are_most(
    scene, database, tmp_path, monkeypatch, unrefined, expected
):
    with FeatureStore(database) as store:
        store.notes.write("match", json.dumps({"max_error": 8.0}))
        store.notes.note_refinement({"max_error": 2.0, "max_error_px": 1.0})
        store._connection.rows("INSERT INTO d2sfm_original_keypoints SELECT image_id, data FROM keypoints")
        later = {name: image.image_id for name, image in [*store.images().items()][:unrefined]}
    monkeypatch.setattr(FeatureStore, "later", lambda store: later)
    monkeypatch.setattr(FeatureStore, "resize_factors", lambda store: dict.fromkeys(range(1, 7), 4.0))
    asked, options_of = [], triangulate_module.incremental_options
    monkeypatch.setattr(
        triangulate_module, "incremental_options", lambda given, trial: asked.append(given) or options_of(given, trial)
    )
    triangulate(database, scene[1], tmp_path / "out")
    assert [given.pixel_factor for given in asked] == [expected]


def test_where_no_match_agrees_nothing_is_written_and_that_is_said(scene, database, tmp_path, capsys):
    with pycolmap.Database.open(database) as colmap:
        colmap.clear_two_view_geometries()
        colmap.write_two_view_geometry(1, 2, pycolmap.TwoViewGeometry())
    shutil.copytree(scene[1], tmp_path / "out" / "0")
    shutil.copytree(scene[1], tmp_path / "model")
    arguments = ["--database", str(database), "--reference", str(tmp_path / "model")]
    assert main(["triangulate", *arguments, "--output", str(tmp_path / "out")]) == 1
    assert f"no point could be triangulated from {IMAGES} images" in capsys.readouterr().out
    assert pycolmap.Reconstruction(tmp_path / "out" / "0").num_points3D() == POINTS


@pytest.mark.slow
def test_the_command_takes_its_options_and_writes_colours(scene, database, tmp_path, capsys, caplog):
    truth = pycolmap.Reconstruction(scene[1])
    for index, image in enumerate(truth.images.values()):
        (tmp_path / "images" / image.name).parent.mkdir(parents=True, exist_ok=True)
        picture = textured_picture(index, (image.camera.width, image.camera.height))
        cv2.imwrite(str(tmp_path / "images" / image.name), picture)
    arguments = ["--database", str(database), "--reference", str(scene[1]), "--images", str(tmp_path / "images")]
    arguments += ["--max-error", "4", "--seed", "2", "--num-threads", "2", "--text", "--ply"]
    with caplog.at_level(logging.WARNING):
        assert main(["triangulate", *arguments, "--output", str(tmp_path / "out")]) == 0
    assert caplog.text == ""
    assert "6 of 6" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out" / "0").iterdir()}
    assert {"cameras.bin", "points3D.txt", "points3D.ply"} <= names
    found = pycolmap.Reconstruction(tmp_path / "out" / "0")
    assert poses(found) == poses(truth)
    assert max(point.color.max() for point in found.points3D.values()) > 0


@pytest.mark.parametrize("wrong", [{"max_error": 0}, {"seed": -1}, {"num_threads": 0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TriangulationOptions(**wrong)
