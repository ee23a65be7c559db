import json
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
import pycolmap
import pytest
from support.database_contents import dump
from support.helpers import textured_picture

from d2sfm.database import FeatureStore, MatchStore, mark_cameras_given
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping import reconstruct as module
from d2sfm.mapping import starts
from d2sfm.mapping.quality import score
from d2sfm.mapping.reconstruct import read_input, reconstruct
from d2sfm.options import Mapper, ReconstructionOptions, RefineCameras

mapping_options = partial(ReconstructionOptions, num_threads=1)  # so that a seed gives one model

ONE_START = {"min_starts": 1, "max_starts": 1}


def synthesize(database, cameras, images, inlier_share=1.0, seed=1, points=150):
    """Write the matches of cameras that take so many images each, with noise of half a pixel; the true model."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = cameras, 1, images
    options.num_points3D, options.inlier_match_ratio = points, inlier_share
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
    return truth


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(database, truth): seven images of one camera, noise of half a pixel, some wrong matches."""
    database = tmp_path_factory.mktemp("scene") / "db.db"
    return database, synthesize(database, cameras=1, images=7, inlier_share=0.8)


@pytest.fixture
def database(scene, tmp_path):
    return shutil.copy(scene[0], tmp_path / "db.db")


def camera_params(model):
    return {camera_id: camera.params.tolist() for camera_id, camera in model.cameras.items()}


@pytest.mark.parametrize("mapper", list(Mapper))
def test_cameras_and_points_are_recovered_and_the_database_is_not_changed(scene, database, tmp_path, mapper):
    before = dump(database)
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(mapper=mapper, **ONE_START))
    assert [folder.name for folder in result.models] == ["0"]
    assert result.statistics[0].images == result.statistics[0].supported == 7
    errors = compare_with_truth(pycolmap.Reconstruction(result.models[0]), scene[1])
    assert errors.rotation_deg.max() < 0.5
    assert errors.centre.max() < 0.1
    assert dump(database) == before
    assert str(result.models[0]) in str(result)
    assert "7 of 7" in str(result)


def test_the_same_seed_gives_the_same_model(database, tmp_path):
    options = mapping_options(seed=4, **ONE_START)
    first, second = (reconstruct(database, tmp_path / name, options=options) for name in ("a", "b"))
    for name in ("cameras", "images", "points3D"):
        assert (first.models[0] / f"{name}.bin").read_bytes() == (second.models[0] / f"{name}.bin").read_bytes()


def database_params(database):
    with pycolmap.Database.open(database) as colmap:
        return {camera.camera_id: camera.params.tolist() for camera in colmap.read_all_cameras()}


@pytest.mark.parametrize("mapper", [Mapper.INCREMENTAL, pytest.param(Mapper.GLOBAL, marks=pytest.mark.slow)])
def test_cameras_are_held_fixed_on_request(database, tmp_path, mapper):
    fixed = mapping_options(refine_cameras=RefineCameras.NO, mapper=mapper, **ONE_START)
    result = reconstruct(database, tmp_path / "fixed", options=fixed)
    assert camera_params(pycolmap.Reconstruction(result.models[0])) == database_params(database)
    free = mapping_options(refine_cameras=RefineCameras.YES, mapper=mapper, **ONE_START)
    result = reconstruct(database, tmp_path / "free", options=free)
    assert camera_params(pycolmap.Reconstruction(result.models[0])) != database_params(database)


def test_auto_holds_the_given_cameras_fixed(database, tmp_path):
    options = mapping_options(**ONE_START)
    result = reconstruct(database, tmp_path / "free", options=options)
    assert camera_params(pycolmap.Reconstruction(result.models[0])) != database_params(database)
    mark_cameras_given(database, [1])
    result = reconstruct(database, tmp_path / "given", options=options)
    assert camera_params(pycolmap.Reconstruction(result.models[0])) == database_params(database)


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory):
    database = tmp_path_factory.mktemp("two") / "db.db"
    synthesize(database, cameras=2, images=4, seed=2)
    return database


def test_one_of_two_cameras_is_held_fixed(two_cameras, tmp_path):
    database = shutil.copy(two_cameras, tmp_path / "db.db")
    mark_cameras_given(database, [1])
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(**ONE_START))
    found, stored = camera_params(pycolmap.Reconstruction(result.models[0])), database_params(database)
    assert found[1] == stored[1]
    assert found[2] != stored[2]
    with pytest.raises(RuntimeError, match="refines all cameras or none"):
        reconstruct(database, tmp_path / "sparse", options=mapping_options(mapper=Mapper.GLOBAL))


def estimate_focal_lengths(database):
    with pycolmap.Database.open(database) as colmap:
        for camera in colmap.read_all_cameras():
            camera.has_prior_focal_length = False
            colmap.update_camera(camera)


def test_estimated_focal_lengths_get_several_starts_and_the_best_is_kept(database, tmp_path):
    estimate_focal_lengths(database)
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(seed=5, min_starts=3))
    assert [start.seed for start in result.starts[:3]] == [5, 6, 7]
    assert [start.way for start in result.starts[:3]] == ["", "cautious", ""]
    assert all(start.way == "distortion refined" for start in result.starts[3:])
    assert score(result.kept.best) == max(score(start.best) for start in result.starts[:3])
    assert result.kept.best == result.statistics[0]
    assert "kept" in result.details()
    assert "seed" not in str(result)


def mark_refined(database):
    with FeatureStore(database) as store:
        store.notes.write("refinement", json.dumps({"max_error": 2.0}))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO d2sfm_original_keypoints SELECT image_id, data FROM keypoints")


@pytest.mark.slow
def test_lens_distortion_is_refined_where_it_explains_more(tmp_path):
    database = tmp_path / "db.db"
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 7, 300
    options.camera_model_id, options.camera_params = pycolmap.CameraModelId.SIMPLE_RADIAL, [1280, 512, 384, -0.15]
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
        (camera,) = colmap.read_all_cameras()
        camera.has_prior_focal_length, camera.params = False, [1280, 512, 384, 0]
        colmap.update_camera(camera)
    mark_refined(database)
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(min_starts=2))
    assert [start.way for start in result.starts] == ["cautious", "cautious", "distortion refined"]
    assert result.kept is result.starts[-1]
    (camera,) = pycolmap.Reconstruction(result.models[0]).cameras.values()
    assert camera.params[3] == pytest.approx(-0.15, abs=0.01)


def test_a_spent_time_budget_ends_the_starts_after_the_first(database, tmp_path):
    estimate_focal_lengths(database)
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(time_budget=1e-9))
    assert [start.way for start in result.starts] == [""]


def test_all_processors_map_by_default(database):
    assert read_input(database, ReconstructionOptions()).num_threads == -1
    assert read_input(database, mapping_options()).num_threads == 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_of_several_starts(database, tmp_path):
    estimate_focal_lengths(database)
    options = mapping_options(seed=4, min_starts=2)
    first, second = (reconstruct(database, tmp_path / name, options=options) for name in ("a", "b"))
    for name in ("cameras", "images", "points3D"):
        assert (first.models[0] / f"{name}.bin").read_bytes() == (second.models[0] / f"{name}.bin").read_bytes()


def test_the_threshold_is_that_of_the_last_verification(database):
    def max_error_px():
        return read_input(database, mapping_options()).max_error_px

    assert max_error_px() == 4  # COLMAP's, which has verified these keypoints
    with FeatureStore(database) as store:
        store.notes.write("match", json.dumps({"max_error": 6.0}))
    assert max_error_px() == 6
    mark_refined(database)
    assert max_error_px() == 2


@pytest.mark.parametrize(("unrefined", "max_error_px"), [(0, 1), (1, 1), (3, 1), (4, 6), (7, 6)])
def test_images_that_are_not_refined_decide_about_thresholds_if_they_are_most(
    database, monkeypatch, unrefined, max_error_px
):
    """As where a photograph is missing: the pairs of its image were verified within a threshold of their own."""
    mark_refined(database)
    with FeatureStore(database) as store:
        store.notes.write("match", json.dumps({"max_error": 6.0}))
        store.notes.note_refinement({"max_error": 2.0, "max_error_px": 1.0})
        later = {name: image.image_id for name, image in [*store.images().items()][:unrefined]}
    monkeypatch.setattr(FeatureStore, "later", lambda store: later)
    monkeypatch.setattr(FeatureStore, "resize_factors", lambda store: dict.fromkeys(range(1, 8), 1.5))
    given = read_input(database, mapping_options())
    factor = 1.0 if max_error_px == 1 else 1.5
    assert (given.max_error_px, given.pixel_factor) == (max_error_px * factor, factor)


def weaken_last_image(database, matches):
    """Leave one pair of the last image, with so many of its verified matches; none for 0."""
    with pycolmap.Database.open(database) as colmap:
        first, *others, last = (image.image_id for image in colmap.read_all_images())
        geometry = colmap.read_two_view_geometry(first, last)
        for image_id in (first, *others):
            colmap.delete_two_view_geometry(image_id, last)
        if matches:
            geometry.inlier_matches = geometry.inlier_matches[:matches]
            colmap.delete_matches(first, last)
            colmap.write_matches(first, last, geometry.inlier_matches)  # of many, so few would agree by chance
            colmap.write_two_view_geometry(first, last, geometry)


def test_pairs_that_chance_explains_are_left_out(database):
    """As there are in databases of earlier versions, whose pairs were not tested when they were verified."""
    with pycolmap.Database.open(database) as colmap:
        first, *_, last = (image.image_id for image in colmap.read_all_images())
        geometry = colmap.read_two_view_geometry(first, last)
        few = len(geometry.inlier_matches) // 4
        colmap.delete_matches(first, last)
        colmap.delete_two_view_geometry(first, last)
        counts = [len(colmap.read_keypoints(image_id)) for image_id in (first, last)]
        colmap.write_matches(first, last, np.indices(counts).reshape(2, -1).T[:5000].astype(np.uint32))
        geometry.inlier_matches = geometry.inlier_matches[:few]
        colmap.write_two_view_geometry(first, last, geometry)
    given = read_input(database, mapping_options())
    assert given.left_out.tolist() == [pycolmap.image_pair_to_pair_id(first, last)]
    assert given.unusable == 0
    with MatchStore(database) as store:
        assert few in [inliers for *_, inliers in store.pairs_table()]


@pytest.mark.slow
def test_images_without_support_get_further_starts_while_these_gain(tmp_path):
    database = tmp_path / "db.db"
    synthesize(database, cameras=1, images=7, inlier_share=0.8, points=300)
    weaken_last_image(database, 25)  # the mapper registers with 30
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(refine_cameras=RefineCameras.NO))
    assert [start.seed for start in result.starts] == [0, 1, 2, 3, 4]
    assert not result.starts[0].initial
    assert all(len(start.initial) == 2 for start in result.starts[1:])
    assert result.statistics[0].images == 6
    assert "6 of 7 images in" in str(result)
    assert " and ".join(result.starts[1].initial) in result.details()


def test_an_image_that_no_pair_connects_costs_no_further_start(database, tmp_path):
    weaken_last_image(database, 0)
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(refine_cameras=RefineCameras.NO))
    assert len(result.starts) == 1
    assert result.statistics[0].images == 6


def test_text_and_ply_are_written_beside_the_binary_model(database, tmp_path):
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(text=True, ply=True, **ONE_START))
    names = {path.name for path in result.models[0].iterdir()}
    model_files = {f"{stem}.{suffix}" for stem in ("cameras", "images", "points3D") for suffix in ("bin", "txt")}
    assert model_files | {"points3D.ply"} <= names
    assert pycolmap.Reconstruction(result.models[0]).num_points3D() == result.statistics[0].points


@pytest.mark.slow
def test_points_take_the_colours_of_the_photographs(database, tmp_path, caplog):
    with pycolmap.Database.open(database) as colmap:
        images, camera = colmap.read_all_images(), colmap.read_all_cameras()[0]
    for index, image in enumerate(images):
        (tmp_path / "images" / image.name).parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.resize(textured_picture(index, (64, 48)), (camera.width, camera.height))
        cv2.imwrite(str(tmp_path / "images" / image.name), picture)
    options = mapping_options(**ONE_START)
    result = reconstruct(database, tmp_path / "sparse", images=tmp_path / "images", options=options)
    colours = np.array([point.color for point in pycolmap.Reconstruction(result.models[0]).points3D.values()])
    assert colours.max() > 0
    assert "colours" not in caplog.text
    with FeatureStore(database) as store:
        store.notes.write("images", str(tmp_path / "images"))
    recorded = reconstruct(database, tmp_path / "recorded", options=options)
    again = np.array([point.color for point in pycolmap.Reconstruction(recorded.models[0]).points3D.values()])
    assert np.array_equal(colours, again)
    (tmp_path / "images").rename(tmp_path / "gone")
    gone = reconstruct(database, tmp_path / "black", options=options)
    assert "points stay black" in caplog.text
    assert gone.statistics == result.statistics


def test_models_of_an_earlier_run_are_replaced_and_other_files_stay(database, tmp_path):
    output = tmp_path / "sparse"
    for name in ("0", "1"):
        (output / name).mkdir(parents=True)
        (output / name / "cameras.bin").write_bytes(b"old")
    (output / "notes.txt").write_text("mine")
    reconstruct(database, output, options=mapping_options(**ONE_START))
    assert sorted(path.name for path in output.iterdir()) == ["0", "notes.txt"]
    assert (output / "0" / "cameras.bin").read_bytes() != b"old"


def test_a_numbered_folder_with_other_files_is_refused_before_mapping(database, tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "sparse" / "0" / "thesis.docx").write_text("mine")
    with pytest.raises(RuntimeError, match=r"thesis\.docx"):
        reconstruct(database, tmp_path / "sparse")
    assert (tmp_path / "sparse" / "0" / "thesis.docx").exists()


def test_nothing_reconstructed_is_said_with_its_cause_and_loses_no_earlier_model(database, tmp_path):
    with pycolmap.Database.open(database) as colmap:
        colmap.clear_two_view_geometries()
        images = colmap.read_all_images()
        for a, b in pairwise(images):
            colmap.write_two_view_geometry(a.image_id, b.image_id, pycolmap.TwoViewGeometry())
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "sparse" / "0" / "cameras.bin").write_bytes(b"old")
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(max_starts=3))
    assert result.models == ()
    assert result.earlier == (tmp_path / "sparse" / "0",)
    assert f"{tmp_path / 'sparse' / '0'} is of an earlier run" in str(result)
    assert result.kept is None
    text = str(result)
    assert "nothing could be reconstructed from 7 images" in text
    assert "likely cause: none of the 21 matched pairs has more matches that agree on a geometry" in text
    assert images[0].name in result.details()
    assert (tmp_path / "sparse" / "0" / "cameras.bin").read_bytes() == b"old"


def test_a_model_without_a_supported_image_is_none(database, tmp_path, monkeypatch):
    """The case pure_rotation_one_point: COLMAP makes a model of a camera that only turned."""
    with pycolmap.Database.open(tmp_path / "turned.db") as colmap:
        options = pycolmap.SyntheticDatasetOptions()
        options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 3, 1
        few = pycolmap.synthesize_dataset(options, colmap)
    monkeypatch.setattr(starts, "map_once", lambda given, trial, on_image: [few])
    result = reconstruct(database, tmp_path / "sparse", options=mapping_options(max_starts=2))
    assert result.models == ()
    assert not list(tmp_path.glob("sparse/*"))
    assert "a model of 3 images and 1 point is left out: none of its images sees 30 points" in str(result)
    assert "likely cause: " in str(result)


def test_focal_lengths_that_drift_apart_are_told(database, tmp_path, monkeypatch, caplog):
    uneven = pycolmap.Camera(camera_id=7, model="PINHOLE", width=80, height=60, params=[543, 596, 40, 30])
    monkeypatch.setattr(module, "uneven_focal_lengths", lambda model: [uneven])
    assert reconstruct(database, tmp_path / "sparse", options=mapping_options(**ONE_START)).models
    assert "camera 7 (PINHOLE): focal lengths of 543 px in x and 596 px in y" in caplog.text


def test_a_database_without_verified_pairs_says_what_to_run(tmp_path):
    database = tmp_path / "db.db"
    pycolmap.Database.open(database).close()
    with pytest.raises(RuntimeError, match="d2sfm match"):
        reconstruct(database, tmp_path / "sparse")
    with pytest.raises(FileNotFoundError):
        reconstruct(tmp_path / "none.db", tmp_path / "sparse")
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(RuntimeError, match="not a COLMAP database"):
        reconstruct(tmp_path / "text.db", tmp_path / "sparse")


def test_an_output_that_is_a_file_is_refused(database, tmp_path):
    (tmp_path / "sparse").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        reconstruct(database, tmp_path / "sparse")


def test_an_output_that_can_not_be_written_is_refused_before_mapping(database, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        reconstruct(database, tmp_path / "file" / "sparse")
    (tmp_path / "sparse").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sparse" / "0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeError, match="is a link"):
        reconstruct(database, tmp_path / "sparse")
