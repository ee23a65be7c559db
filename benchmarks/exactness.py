"""How exact observations and poses of a model are, beyond its errors against the truth.

Small differences of good poses drown in the truth's own errors. Adjustments of two random halves of the points show
them: what the halves do not agree in, observations do not hold.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.matching.epipolar import epipolar_errors_px
from d2sfm.options import CameraMode, CameraOptions

SHARES_PX = (0.1, 0.25, 0.5, 1.0)
DRAWS = 2  # of halves


def known_camera(truth: pycolmap.Reconstruction, scale: float = 1.0) -> CameraOptions:
    """The truth's camera, where all of its images have the same, in photographs that are so much smaller."""
    cameras = {(camera.model_name, tuple(camera.params)) for camera in truth.cameras.values()}
    if len(cameras) != 1:
        raise SystemExit(f"the ground truth has {len(cameras)} different cameras, --known-cameras needs one")
    camera = pycolmap.Camera(next(iter(truth.cameras.values())).todict())
    camera.rescale(scale)
    text = ",".join(map(str, camera.params))
    return CameraOptions(camera_mode=CameraMode.SINGLE, camera_model=camera.model_name, camera_params=text)


def observation_errors_px(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction) -> np.ndarray:
    """Sampson errors of observations under the true cameras, in pixels of the photographs: [N].

    Each observation of a point against that of the point's first image by name, which no method prefers.
    """
    true = {image.name: image for image in truth.images.values() if image.has_pose}
    names = {image_id: model.images[image_id].name for image_id in model.reg_image_ids()}
    indices = defaultdict(list)  # of points2D, by pair of images
    for point in model.points3D.values():
        seen = sorted((names[each.image_id], each.image_id, each.point2D_idx) for each in point.track.elements)
        (_, first, of_first), *others = seen
        for _, image_id, index in others:
            indices[first, image_id].append((of_first, index))
    errors = [np.zeros(0)]
    for pair, found in indices.items():
        if not {names[image_id] for image_id in pair} <= true.keys():
            continue
        xy = [
            np.array([model.images[image_id].points2D[index].xy for index in column])
            for image_id, column in zip(pair, zip(*found, strict=True), strict=True)
        ]
        a, b = (true[names[image_id]] for image_id in pair)
        b_from_a = b.cam_from_world() * a.cam_from_world().inverse()
        errors.append(epipolar_errors_px(a.camera, xy[0], b.camera, xy[1], b_from_a))
    return np.concatenate(errors)


def halves_mdeg(model: pycolmap.Reconstruction, scale_px: float) -> tuple[float, float]:
    """Median differences of relative rotations and of directions of relative translations, in millidegrees, between
    adjustments of two random halves of the points with intrinsics held and Cauchy's loss of that scale; means of DRAWS
    draws.
    """
    random, found = np.random.default_rng(0), []
    ids = np.array(sorted(model.points3D))
    for _ in range(DRAWS):
        is_in_first = random.random(len(ids)) < 0.5
        first, second = (_adjusted(model, ids[dropped], scale_px) for dropped in (~is_in_first, is_in_first))
        found.append(np.median(list(_pose_differences(first, second)), axis=0))
    rotation, translation = 1000 * np.degrees(np.mean(found, axis=0))
    return float(rotation), float(translation)


def _adjusted(model: pycolmap.Reconstruction, without: np.ndarray, scale_px: float) -> pycolmap.Reconstruction:
    """A copy of the model without these points after bundle adjustment."""
    part = pycolmap.Reconstruction(model)
    for point_id in without.tolist():
        part.delete_point3D(point_id)
    options = pycolmap.BundleAdjustmentOptions(print_summary=False)
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = scale_px
    options.ceres.solver_options.num_threads = 1
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in part.reg_image_ids():
        config.add_image(image_id)
    for camera_id in part.cameras:
        config.set_constant_cam_intrinsics(camera_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    with quiet_pycolmap():
        pycolmap.create_default_bundle_adjuster(options, config, part).solve()
    return part


def _pose_differences(a: pycolmap.Reconstruction, b: pycolmap.Reconstruction) -> Iterator[tuple[float, float]]:
    """Angles between relative rotations and between relative translations of each pair of images, in radians."""
    poses = [(a.images[each].cam_from_world(), b.images[each].cam_from_world()) for each in sorted(a.reg_image_ids())]
    for number, of_first in enumerate(poses):
        for of_second in poses[number + 1 :]:
            in_a, in_b = (second * first.inverse() for first, second in zip(of_first, of_second, strict=True))
            across = np.linalg.norm(np.cross(in_a.translation, in_b.translation))
            turned = (in_a.rotation * in_b.rotation.inverse()).angle()
            yield turned, np.arctan2(across, in_a.translation @ in_b.translation)
