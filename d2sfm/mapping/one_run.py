"""One mapping run of pycolmap, with seeds and fixed cameras set throughout its options, and its last adjustment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database.mapping_copy import copy_for_mapping
from d2sfm.mapping.initial_pairs import InitialPair, allow_narrow
from d2sfm.models import write_model
from d2sfm.options import Mapper
from d2sfm.parts import scratch_folder

# For refined keypoints, as there are fewer of them than of SIFT's, and they are as exact. COLMAP has 30 and 1.5.
MIN_INLIERS, MIN_ANGLE_DEG = 20, 0.7
# Adjustments of the whole model are most of a large set's time. They come where it grew by this share (COLMAP's: 0.1)
# and end where a step changes their cost by less than that share (0): the same poses in 0.7 of the time of 100 images.
LARGE, GROWTH, LARGE_SETTLED = 200, 0.2, 1e-6
SETTLED = 1e-7  # change of the cost in a step, as a share, at which adjustment ends
LOSS_SHARE = 0.25  # of the error that verification allows: from there on an observation pulls less and less


@dataclass(frozen=True, kw_only=True)
class MappingInput:
    """What all starts share.

    pixel_factor: pixels of the photographs for one of the network input; COLMAP's thresholds in pixels are meant for
        features exact to a pixel of the photograph; D2's are exact to pixels of the network input.
    max_error_px: largest epipolar error of verification, in pixels of the photographs.
    is_refined: whether keypoints are exact to a fraction of a pixel.
    left_out: numbers (see ``pair_ids``) of the pairs that no run uses, as chance explains them, see
        ``matching.chance``, or their rows can't be used; ``unusable`` is the number of the latter.
    constant_cameras: ids of cameras with fixed intrinsics; ``all_constant`` if these are all.
    constant_rigs: by id, the rigs in which the known poses of cameras stay fixed.
    names: of the images by id; connected: how many the largest group has that the other verified pairs connect.
    is_estimated: whether some focal lengths are only estimated.
    """

    database: Path
    mapper: Mapper
    pixel_factor: float = 1.0
    max_error_px: float = 8.0
    is_refined: bool = False
    left_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unusable: int = 0
    constant_cameras: frozenset[int] = field(default_factory=frozenset)
    all_constant: bool = False  # the global pipeline knows no other way
    constant_rigs: Mapping[int, pycolmap.Rig] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    connected: int = 0
    is_estimated: bool = False
    num_threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The settings in which runs differ.

    is_cautious: for focal lengths that are only estimated, and refined keypoints: lens distortion stays as in the
        database, as free distortion bends a model to fit wrong matches. Otherwise the run is the pipeline's own, except
        for the robust adjustment at its end.
    initial_pair: with which the single model of the incremental pipeline starts; None: all models that it finds, from
        pairs of its choice.
    most_seconds: after which the incremental pipeline stops with what it has; None: no limit.
    """

    seed: int
    is_cautious: bool = False
    initial_pair: InitialPair | None = None
    most_seconds: int | None = None


def map_once(given: MappingInput, trial: Trial, on_image: Callable[[int], object]) -> list[pycolmap.Reconstruction]:
    """The models of one run, none if nothing could be reconstructed.

    on_image is called with the number of images that were registered, again and again.

    The database is not changed: the global pipeline, which rewrites cameras and geometries, works on a copy.
    """
    with scratch_folder() as folder, quiet_pycolmap():
        database = _database(given, folder)
        # Neither pipeline reads photographs here: colours are added afterwards, to the model that is kept.
        if given.mapper is Mapper.GLOBAL:
            models = pycolmap.global_mapping(database, folder, folder, global_options(given, trial))
        else:
            models = pycolmap.incremental_mapping(
                database,
                folder,
                folder,
                incremental_options(given, trial),
                initial_image_pair_callback=lambda: on_image(2),
                next_image_callback=lambda: on_image(1),
            )
    models = list(models.values())
    for model in models:
        adjust_robustly(model, given, refine_distortion=not trial.is_cautious)
    return models


def _database(given: MappingInput, folder: Path) -> Path:
    """The database to map: a copy in the folder if pairs are left out, or the global pipeline will rewrite it."""
    if not len(given.left_out) and given.mapper is not Mapper.GLOBAL:
        return given.database
    copy_for_mapping(given.database, folder / "copy.db", given.left_out, given.names)
    return folder / "copy.db"


def with_distortion(
    given: MappingInput, model: pycolmap.Reconstruction, seed: int, most_seconds: int | None = None
) -> pycolmap.Reconstruction | None:
    """The model of a cautious run, continued with refined lens distortion; None if that fails."""
    with scratch_folder() as folder, scratch_folder() as start, quiet_pycolmap():
        database = _database(given, folder)
        write_model(model, start, called=start.parent)
        options = incremental_options(given, Trial(seed=seed, most_seconds=most_seconds))
        options.multiple_models = False
        models = pycolmap.incremental_mapping(database, folder, folder, options, input_path=start)
    if not models:
        return None
    released = max(models.values(), key=lambda found: found.num_reg_images())
    adjust_robustly(released, given, refine_distortion=True)
    return released


def adjust_robustly(
    model: pycolmap.Reconstruction,
    given: MappingInput,
    refine_distortion: bool = False,
    manager: pycolmap.ObservationManager | None = None,
) -> None:
    """Bundle adjustment with Cauchy's loss, in place, then the mapper's filter of observations.

    manager: of a mapper that continues the model.

    Cameras in constant rigs then have their exact poses, which the incremental pipeline changes by rounding.

    The pipelines' own last adjustment is least squares, which wrong matches that survived (D2 has many) pull away: the
    focal lengths of photographs with long lenses grow together, up to twice too large, at hardly larger errors.
    """
    held = _put_back_rigs(model, given)
    if not model.num_points3D():
        return
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    for camera_id in given.constant_cameras:
        config.set_constant_cam_intrinsics(camera_id)
    for sensor in held:
        config.set_constant_sensor_from_rig_pose(sensor)
    if held:  # which tell the size; two cameras would hold it at what it was
        config.set_constant_rig_from_world_pose(min(model.reg_frame_ids()))
    else:
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    with quiet_pycolmap():
        pycolmap.create_default_bundle_adjuster(robust_options(given, refine_distortion), config, model).solve()
        limits = incremental_options(given, Trial(seed=0)).mapper
        (manager or pycolmap.ObservationManager(model)).filter_all_points3D(
            limits.filter_max_reproj_error, limits.filter_min_tri_angle
        )
        model.update_point_3d_errors()


def robust_options(given: MappingInput, refine_distortion: bool) -> pycolmap.BundleAdjustmentOptions:
    """Options of bundle adjustment with Cauchy's loss, see ``adjust_robustly``."""
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_extra_params = refine_distortion
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = LOSS_SHARE * given.max_error_px
    options.ceres.solver_options.num_threads = given.num_threads
    options.ceres.solver_options.function_tolerance = SETTLED  # COLMAP's 0 took all of 100 steps
    return options


def _put_back_rigs(model: pycolmap.Reconstruction, given: MappingInput) -> list[pycolmap.sensor_t]:
    """Give cameras in constant rigs their known poses, in place. Returns the sensors that these are of."""
    held = []
    for rig_id in given.constant_rigs.keys() & model.rigs.keys():
        for sensor, cam_from_rig in given.constant_rigs[rig_id].non_ref_sensors.items():
            if cam_from_rig is not None:
                model.rig(rig_id).set_sensor_from_rig(sensor, cam_from_rig)
                held.append(sensor)
    return held


def incremental_options(given: MappingInput, trial: Trial) -> pycolmap.IncrementalPipelineOptions:
    """COLMAP's defaults, with seeds and threads in every part and thresholds in network pixels."""
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors = False
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = trial.seed
    options.num_threads = options.mapper.num_threads = given.num_threads
    if given.is_refined:
        options.mapper.abs_pose_min_num_inliers = MIN_INLIERS
        options.triangulation.min_angle = options.mapper.filter_min_tri_angle = MIN_ANGLE_DEG
    is_large = len(given.names) > LARGE
    # Poses from matches alone are as often made up as found where keypoints are exact, and an image of wrong matches
    # takes minutes, which no limit of seconds ends: only for the few weak images that a small set without chance pairs
    # has.
    options.structure_less_registration_fallback = trial.is_cautious and not given.is_refined and not is_large
    if is_large:
        options.ba_global_frames_ratio = options.ba_global_points_ratio = 1 + GROWTH
        options.ba_global_function_tolerance = LARGE_SETTLED
    for part, names in (
        (options.mapper, ("init_max_error", "abs_pose_max_error", "filter_max_reproj_error")),
        (options.triangulation, ("complete_max_reproj_error", "merge_max_reproj_error")),
    ):
        for name in names:
            setattr(part, name, getattr(part, name) * given.pixel_factor)
    options.constant_cameras = options.mapper.constant_cameras = set(given.constant_cameras)
    options.constant_rigs = options.mapper.constant_rigs = set(given.constant_rigs)
    if given.all_constant:
        options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = False
    if given.all_constant or trial.is_cautious:
        options.ba_refine_extra_params = options.mapper.abs_pose_refine_extra_params = False
    if trial.initial_pair:
        # More models would be looked for among what this one leaves, a minute in vain where the pair was wrong.
        options.init_image_id1, options.init_image_id2 = trial.initial_pair.image_ids
        options.multiple_models = False
        if trial.initial_pair.is_narrow:
            allow_narrow(options.mapper)
    if trial.most_seconds is not None:
        options.max_runtime_seconds = trial.most_seconds
    return options


def global_options(given: MappingInput, trial: Trial) -> pycolmap.GlobalPipelineOptions:
    """COLMAP's defaults, with the seed and threads in every part; its thresholds are angles, whatever the resizing.

    Rigs stay free until ``adjust_robustly`` fixes them: with fixed rigs its models were 1.7 to 2 times too large, at
    three times the error, as their size hardly changes in its adjustments.
    """
    options = pycolmap.GlobalPipelineOptions()
    options.random_seed = options.mapper.random_seed = trial.seed
    options.num_threads = options.mapper.num_threads = given.num_threads
    if given.all_constant:
        options.mapper.bundle_adjustment.refine_focal_length = False
    if given.all_constant or trial.is_cautious:
        options.mapper.bundle_adjustment.refine_extra_params = False
    return options
