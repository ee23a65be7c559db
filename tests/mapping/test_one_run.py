import sqlite3
from contextlib import closing
from dataclasses import replace

import pycolmap
import pytest
from support.synthetic_model import synthetic_rig

from d2sfm.database import read_rigs
from d2sfm.database.pair_ids import pair_ids
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping.initial_pairs import InitialPair
from d2sfm.mapping.one_run import (
    MappingInput,
    Trial,
    adjust_robustly,
    global_options,
    incremental_options,
    map_once,
    with_distortion,
)
from d2sfm.mapping.quality import statistics
from d2sfm.options import Mapper


def test_thresholds_in_pixels_follow_the_resize_factor(tmp_path):
    given = {"database": tmp_path, "mapper": Mapper.INCREMENTAL}
    plain, doubled = (
        incremental_options(MappingInput(pixel_factor=factor, **given), Trial(seed=3)) for factor in (1.0, 2.0)
    )
    defaults = pycolmap.IncrementalPipelineOptions()
    for part, name in (
        ("mapper", "filter_max_reproj_error"),
        ("mapper", "abs_pose_max_error"),
        ("mapper", "init_max_error"),
        ("triangulation", "complete_max_reproj_error"),
        ("triangulation", "merge_max_reproj_error"),
    ):
        default = getattr(getattr(defaults, part), name)
        assert getattr(getattr(plain, part), name) == default
        assert getattr(getattr(doubled, part), name) == 2 * default


def test_seeds_reach_every_part(tmp_path):
    options = incremental_options(MappingInput(database=tmp_path, mapper=Mapper.INCREMENTAL), Trial(seed=3))
    assert options.random_seed == options.mapper.random_seed == options.triangulation.random_seed == 3
    options = global_options(MappingInput(database=tmp_path, mapper=Mapper.GLOBAL), Trial(seed=3))
    assert options.random_seed == options.mapper.random_seed == 3


def test_refined_keypoints_are_mapped_with_other_limits(tmp_path):
    given = {"database": tmp_path, "mapper": Mapper.INCREMENTAL, "pixel_factor": 2.0}
    plain, refined = (incremental_options(MappingInput(is_refined=x, **given), Trial(seed=0)) for x in (False, True))
    assert (plain.mapper.abs_pose_min_num_inliers, refined.mapper.abs_pose_min_num_inliers) == (30, 20)
    assert (plain.mapper.filter_min_tri_angle, refined.mapper.filter_min_tri_angle) == (1.5, 0.7)
    assert (plain.triangulation.min_angle, refined.triangulation.min_angle) == (1.5, 0.7)


@pytest.mark.parametrize(
    ("images", "is_refined", "is_cautious", "expected"),
    [(9, False, True, True), (9, False, False, False), (9, True, True, False), (201, False, True, False)],
)
def test_poses_from_matches_alone_are_for_small_sets_without_chance_pairs(
    tmp_path, images, is_refined, is_cautious, expected
):
    names = {image_id: f"{image_id}.jpg" for image_id in range(1, images + 1)}
    given = MappingInput(database=tmp_path, mapper=Mapper.INCREMENTAL, names=names, is_refined=is_refined)
    options = incremental_options(given, Trial(seed=0, is_cautious=is_cautious))
    assert options.structure_less_registration_fallback is expected


def test_the_whole_of_a_large_model_is_adjusted_less_often(tmp_path):
    def ratios(images):
        names = {image_id: f"{image_id}.jpg" for image_id in range(1, images + 1)}
        given = MappingInput(database=tmp_path, mapper=Mapper.INCREMENTAL, names=names)
        options = incremental_options(given, Trial(seed=0))
        return options.ba_global_frames_ratio, options.ba_global_points_ratio, options.ba_global_function_tolerance

    assert ratios(200) == (1.1, 1.1, 0)
    assert ratios(201) == (1.2, 1.2, 1e-6)


def input_of(scene, mapper=Mapper.INCREMENTAL):
    """scene: (database, truth)."""
    database, truth = scene
    names = {image_id: image.name for image_id, image in truth.images.items()}
    return MappingInput(database=database, mapper=mapper, max_error_px=2.0, names=names)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(input, truth): seven images of one camera, noise of half a pixel."""
    database = tmp_path_factory.mktemp("scene") / "db.db"
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 7, 300
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
    return input_of((database, truth)), truth


@pytest.mark.slow
@pytest.mark.parametrize("mapper", [Mapper.INCREMENTAL, pytest.param(Mapper.GLOBAL, marks=pytest.mark.slow)])
def test_a_cautious_run_holds_distortion_and_all_runs_leave_pairs_out(scene, mapper):
    given, truth = scene
    lonely = max(truth.reg_image_ids())
    pairs = pair_ids([image_id for image_id in truth.reg_image_ids() if image_id != lonely], lonely)
    given = MappingInput(database=given.database, mapper=mapper, left_out=pairs, names=given.names)
    with closing(sqlite3.connect(given.database)) as connection:
        before = list(connection.iterdump())
    (cautious,) = map_once(given, Trial(seed=0, is_cautious=True), lambda images: None)
    (plain,) = map_once(given, Trial(seed=0), lambda images: None)
    for model in (plain, cautious):
        assert set(truth.reg_image_ids()) - set(model.reg_image_ids()) == {lonely}
    (stored,) = truth.cameras.values()
    assert cautious.cameras[stored.camera_id].params[-1] == stored.params[-1]
    assert plain.cameras[stored.camera_id].params[-1] != stored.params[-1]
    with closing(sqlite3.connect(given.database)) as connection:
        assert list(connection.iterdump()) == before


def wrong_observations(model, image_id, shift_px):
    """Move every fourth observation of an image the same way, as wrong matches do that mapping let through."""
    for number, index in enumerate(model.image(image_id).get_observation_point2D_idxs()):
        if number % 4 == 0:
            model.image(image_id).points2D[index].xy += (shift_px, 0)


def test_wrong_observations_pull_a_robust_adjustment_less(scene):
    given, truth = scene
    image_id = truth.reg_image_ids()[3]
    robust, squares = pycolmap.Reconstruction(truth), pycolmap.Reconstruction(truth)
    for model in (robust, squares):
        wrong_observations(model, image_id, 8.0)
    adjust_robustly(robust, given)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = options.refine_extra_params = False
    pycolmap.bundle_adjustment(squares, options)
    robust_deg, squares_deg = (compare_with_truth(model, truth).rotation_deg.max() for model in (robust, squares))
    assert robust_deg < squares_deg / 2


def test_a_robust_adjustment_keeps_constant_cameras_and_drops_what_is_far_off(scene):
    given, truth = scene
    model = pycolmap.Reconstruction(truth)
    (camera_id,) = model.cameras
    image_id = model.reg_image_ids()[0]
    wrong_observations(model, image_id, 60.0)
    before, seen = statistics(model), model.image(image_id).num_points3D
    fixed = MappingInput(
        database=given.database, mapper=given.mapper, max_error_px=2.0, constant_cameras=frozenset({camera_id})
    )
    adjust_robustly(model, fixed)
    assert model.cameras[camera_id].params.tolist() == truth.cameras[camera_id].params.tolist()
    found = statistics(model)
    assert found.observations <= before.observations - seen // 4
    assert found.error_px < 1
    adjust_robustly(pycolmap.Reconstruction(), fixed)  # nothing to adjust is no error


def test_a_run_begins_with_the_given_pair_and_counts_its_images(scene):
    given, truth = scene
    first, second, *_ = sorted(truth.reg_image_ids())
    seen = []
    (model,) = map_once(given, Trial(seed=0, initial_pair=InitialPair(image_ids=(first, second))), seen.append)
    assert sum(seen) == model.num_reg_images() == 7
    nowhere = replace(given, left_out=pair_ids([first], [second]))
    # Without matches between them the pair gives no model, whatever else would.
    assert map_once(nowhere, Trial(seed=0, initial_pair=InitialPair(image_ids=(first, second))), seen.append) == []


def poses_in_rigs(rigs):
    """What cam_from_rig is made of, by rig and camera."""
    return {
        (rig_id, sensor.id): (pose.rotation.quat.tolist(), pose.translation.tolist())
        for rig_id, rig in rigs.items()
        for sensor, pose in rig.non_ref_sensors.items()
    }


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    """(database, truth): five frames of a rig of two cameras, noise of half a pixel."""
    database = tmp_path_factory.mktemp("stereo") / "db.db"
    return database, synthetic_rig(database)


@pytest.mark.parametrize("mapper", list(Mapper))
def test_known_poses_in_a_rig_are_held_to_the_bit_and_tell_the_size(stereo, mapper):
    """The case rig_calibration."""
    database, truth = stereo
    rigs = read_rigs(database)
    assert list(poses_in_rigs(rigs)) == [(1, 2)]
    given = replace(input_of(stereo, mapper), constant_rigs=rigs)
    (model,) = map_once(given, Trial(seed=0, is_cautious=True), lambda images: None)
    assert model.num_reg_images() == 10
    models = [model] if mapper is Mapper.GLOBAL else [model, with_distortion(given, model, seed=0)]
    for model in models:
        assert poses_in_rigs(model.rigs) == poses_in_rigs(rigs)
        assert pycolmap.align_reconstructions_via_proj_centers(model, truth, 0.1).scale == pytest.approx(1, abs=0.005)
        assert model.compute_mean_reprojection_error() < 0.6


@pytest.mark.parametrize("mapper", [Mapper.INCREMENTAL, pytest.param(Mapper.GLOBAL, marks=pytest.mark.slow)])
def test_poses_in_a_rig_that_are_not_held_are_refined(stereo, mapper):
    database, _ = stereo
    (model,) = map_once(input_of(stereo, mapper), Trial(seed=0), lambda n: None)
    ((_, found),) = poses_in_rigs(model.rigs).values()
    ((_, stored),) = poses_in_rigs(read_rigs(database)).values()
    assert found != stored
    assert found == pytest.approx(stored, abs=0.01)
