"""Errors of reconstructions against a known truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pycolmap

from d2sfm.colmap import placed_images, similarity
from d2sfm.evaluation.relative_poses import angular_errors, area_under_curve
from d2sfm.text import counted

NO_BASELINE = 1e-4  # of the truth's longest baseline; the direction of a shorter one is noise of the truth


@dataclass(frozen=True, kw_only=True)
class PoseErrors:
    """Errors of the registered images against the truth, after a similarity alignment; arrays in order of ``names``."""

    names: tuple[str, ...]
    rotation_deg: np.ndarray  # [N]
    centre: np.ndarray  # [N], in the truth's unit
    centre_in_truth: np.ndarray  # [N, 3] the model's centres in the truth's world
    truth_from_model: pycolmap.Sim3d

    IN_JSON: ClassVar = {"names": tuple[str, ...], "rotation_deg": tuple[float, ...], "centre": tuple[float, ...]}


def compare_with_truth(
    model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction, max_centre_error: float | None = None
) -> PoseErrors:
    """Rotation and centre errors of the images that both have, by name.

    The alignment is COLMAP's robust one over projection centres: RANSAC with centres within max_centre_error (in
    the truth's unit; default: a twentieth of the extent of its centres), so a few images that are far off do not pull
    the others along; their own errors are reported all the same.

    Raises RuntimeError if no alignment is found, as for fewer than three common images, or true cameras at one place.
    """
    truths = {image.name: image for image in placed_images(truth)}
    centres = {name: image.projection_center() for name, image in truths.items()}
    if max_centre_error is None:
        spread = np.ptp(list(centres.values()), axis=0) if centres else np.zeros(3)
        max_centre_error = float(np.linalg.norm(spread)) / 20
    images = {image.name: image for image in placed_images(model) if image.name in centres}
    if len(images) < 3:
        raise RuntimeError(
            f"both models have a pose of {counted(len(images), 'image')}, expected 3 or more for an alignment"
        )
    if not max_centre_error > 0:
        raise RuntimeError("the true cameras are all at one place, so that no alignment can be found")
    names = tuple(sorted(images))
    truth_from_model = similarity(
        np.array([images[name].projection_center() for name in names]),
        np.array([centres[name] for name in names]),
        ransac=pycolmap.RANSACOptions(max_error=max_centre_error, random_seed=0),
    )
    if truth_from_model is None:
        raise RuntimeError(
            "the model can't be aligned with the true one: their camera centres do not agree, or lie on one line"
        )
    aligned_poses = [truth_from_model.transform_camera_world(images[name].cam_from_world()) for name in names]
    true_poses = [truths[name].cam_from_world() for name in names]
    rotation_deg, centre = pose_errors(aligned_poses, true_poses)
    return PoseErrors(
        names=names,
        rotation_deg=rotation_deg,
        centre=centre,
        centre_in_truth=np.array([_centre(pose) for pose in aligned_poses]),
        truth_from_model=truth_from_model,
    )


def pose_errors(poses: Sequence[pycolmap.Rigid3d], truths: Sequence[pycolmap.Rigid3d]) -> tuple[np.ndarray, np.ndarray]:
    """Errors of poses in the truth's world: rotation in degrees and distance of centres in its unit, [N] each."""
    both = list(zip(poses, truths, strict=True))
    centres = [np.linalg.norm(_centre(pose) - _centre(truth)) for pose, truth in both]
    return np.array([_angle_deg(pose, truth) for pose, truth in both]), np.array(centres)


def pose_auc(
    model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction, thresholds_deg: Sequence[float] = (1, 3, 5, 10)
) -> tuple[float, ...]:
    """``area_under_curve`` of ``pair_errors_deg``. A model without any image of the truth has 0.

    Raises ValueError for a threshold that is not above 0, and as ``pair_errors_deg``.
    """
    return area_under_curve(pair_errors_deg(model, truth), thresholds_deg)


def pair_errors_deg(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction) -> np.ndarray:
    """Error of each pair of the truth's N images with poses, by name: [N (N - 1) / 2] degrees, no alignment needed.

    A pair's error is the larger of two angles: of the relative rotation, and between the directions of the relative
    translation (in the frame of the second image by name). It is infinite where the model lacks one of the images or
    has both at one place. Unlike two views, which leave the sign open, a model with the opposite direction is wrong by
    180 degrees. Where the truth has practically no baseline (NO_BASELINE) the rotation alone counts.

    Raises ValueError if the truth has poses of fewer than two images.
    """
    true_poses, poses = _poses_by_name(truth), _poses_by_name(model)
    if len(true_poses) < 2:
        raise ValueError(f"the true model has poses of {counted(len(true_poses), 'image')}, expected 2 or more")
    names = sorted(true_poses)
    first, second = np.triu_indices(len(names), 1)
    true_rotation, true_translation = _relative_poses([true_poses[name] for name in names], first, second)
    # What the model lacks gets some pose here and its infinite error below.
    rotation, translation = _relative_poses([poses.get(name, pycolmap.Rigid3d()) for name in names], first, second)
    turned, aside = angular_errors(rotation, translation, true_rotation, true_translation)
    baseline = np.linalg.norm(true_translation, axis=1)
    aside[baseline <= NO_BASELINE * baseline.max()] = 0
    has_pose = np.array([name in poses for name in names])
    return np.where(has_pose[first] & has_pose[second], np.degrees(np.maximum(turned, aside)), np.inf)


def _poses_by_name(model: pycolmap.Reconstruction) -> dict[str, pycolmap.Rigid3d]:
    return {image.name: image.cam_from_world() for image in placed_images(model)}


def _relative_poses(
    poses: Sequence[pycolmap.Rigid3d], first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [P, 3, 3] and translations [P, 3] from the frames of the first to those of the second images."""
    rotations = np.array([pose.rotation.matrix() for pose in poses])
    translations = np.array([pose.translation for pose in poses])
    relative = rotations[second] @ rotations[first].transpose(0, 2, 1)
    return relative, translations[second] - np.einsum("pij,pj->pi", relative, translations[first])


def _centre(cam_from_world: pycolmap.Rigid3d) -> np.ndarray:
    return -cam_from_world.rotation.matrix().T @ cam_from_world.translation


def _angle_deg(a: pycolmap.Rigid3d, b: pycolmap.Rigid3d) -> float:
    return float(np.degrees((a.rotation * b.rotation.inverse()).angle()))
