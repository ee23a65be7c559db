"""Matches that one fundamental matrix or one homography agrees with, by OpenCV's RANSAC.

Samples are drawn from the most similar matches first (PROSAC), which for D2 finds the true ones in a fraction of the
trials. Pycolmap's estimation starts from the result, see ``verification``.
"""

import math
from enum import Enum

import cv2
import numpy as np
import pycolmap


class Relation(Enum):
    """Relations between two pictures, by the number of matches that determine them."""

    EPIPOLAR = 7
    PLANE = 4


CONFIDENCE = 0.999
# Of the trials that matches in random order need. With all of them epipolar geometries of no more pairs were found, in
# four times the time. Planes, which samples of four find, are asked for where that failed, and cost a fifth a trial.
SHARE_OF_TRIALS = {Relation.EPIPOLAR: 0.2, Relation.PLANE: 1.0}
RAW_SHARE = 0.25  # of the largest error: positions that a lens moves by less are taken as they are
MOST_STRETCH = 1.5  # by which a picture without distortion is larger somewhere, or smaller
GRID = 9  # places along each edge at which a camera's distortion is looked at


def agreeing_with_one(
    relation: Relation,
    xy_a: np.ndarray,
    xy_b: np.ndarray,
    similarities: np.ndarray,
    max_error_px: float,
    *,
    max_num_trials: int,
    min_inlier_ratio: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Which matches agree with the relation of most agreeing matches, [K] bool, all False without one; and its matrix,
    [3, 3] float64 from a to b, or None.

    xy_a, xy_b: [K, 2], positions of the matches in both pictures, in pixels and without distortion; K above 7.
    similarities: [K], of descriptors; of equal ones the earlier is tried first. They are compared as float16, as in
    databases, so that a later run sorts as the first one did. max_num_trials and min_inlier_ratio: see
    ``VerificationOptions``. seed: from 0, below 2**31. The result depends on nothing else, neither on numbers of
    threads nor on what OpenCV did before.
    """
    order = np.argsort(-np.asarray(similarities).astype(np.float16), kind="stable")
    a, b = (np.ascontiguousarray(xy[order], np.float64) for xy in (xy_a, xy_b))
    settings = cv2.UsacParams()
    settings.sampler, settings.score = cv2.SAMPLING_PROSAC, cv2.SCORE_METHOD_MSAC
    settings.loMethod, settings.final_polisher = cv2.LOCAL_OPTIM_INNER_LO, cv2.LSQ_POLISHER
    settings.threshold, settings.confidence = max_error_px, CONFIDENCE
    settings.maxIterations = _trials(relation, max_num_trials, min_inlier_ratio)
    settings.randomGeneratorState, settings.isParallel = seed, False
    find = cv2.findFundamentalMat if relation is Relation.EPIPOLAR else cv2.findHomography
    agree = np.zeros(len(order), bool)
    try:
        matrix, mask = find(a, b, settings)
    except cv2.error as error:
        # OpenCV 5 refuses what its last step makes of points that determine no matrix, as those of a shifted picture.
        if error.func != "setModelParameters":
            raise
        return agree, None
    if matrix is None or mask is None:
        return agree, None
    agree[order] = mask.ravel() > 0
    if relation is Relation.PLANE:  # OpenCV looks at errors in b only: all of a agrees where it shrinks to a point of b
        agree[order] &= plane_errors(a, b, matrix) <= max_error_px
    return agree, matrix


def _trials(relation: Relation, most: int, ratio: float) -> int:
    """Number of trials for a sample of true matches, at this share of true ones."""
    chance = ratio**relation.value
    planned = math.log(1 - CONFIDENCE) / math.log1p(-chance) if chance < 1 else 1
    return math.ceil(min(most * SHARE_OF_TRIALS[relation], planned))


def plane_errors(a: np.ndarray, b: np.ndarray, b_from_a: np.ndarray) -> np.ndarray:
    """The larger of both transfer errors of points, [K, 2] float64 each, under a homography: [K].

    It is infinite if the homography has no inverse.
    """
    if np.linalg.matrix_rank(b_from_a) < 3:
        return np.full(len(a), np.inf)
    errors = []
    for start, end, matrix in ((a, b, b_from_a), (b, a, np.linalg.inv(b_from_a))):
        mapped = cv2.perspectiveTransform(start[:, None], matrix)[:, 0]
        errors.append(np.linalg.norm(mapped - end, axis=1))
    return np.maximum(*errors)


def without_distortion(camera: pycolmap.Camera, xy: np.ndarray, max_error_px: float) -> np.ndarray | None:
    """Undistorted positions, in the picture of the camera with a lens without distortion, [K, 2] float64, in pixels.

    xy: [K, 2], in pixels of the photograph. None if no such picture exists, or its scale differs much from the
    photograph's, so that errors in pixels are not comparable: panoramas, most fisheyes, strong distortion. Also None if
    distortion is not negligible and the focal length, on which it depends, is not known. This depends on the camera's
    parameters, not its model: a fisheye of long focal length has hardly any distortion.
    """
    if not len(camera.focal_length_idxs()):  # a panorama; asking for its focal length ends the process
        return None
    places = np.stack(np.meshgrid(*(np.linspace(0, size, GRID) for size in (camera.width, camera.height))), axis=-1)
    flat = _flat(camera, places.reshape(-1, 2)).reshape(places.shape)
    if not np.isfinite(flat).all():
        return None
    if np.abs(flat - places).max() <= RAW_SHARE * max_error_px:
        return np.asarray(xy, np.float64)
    stretch = [
        np.linalg.norm(np.diff(flat, axis=axis), axis=-1) / np.linalg.norm(np.diff(places, axis=axis), axis=-1)
        for axis in (0, 1)
    ]
    if not camera.has_prior_focal_length or not all(
        1 / MOST_STRETCH <= along.min() <= along.max() <= MOST_STRETCH for along in stretch
    ):
        return None
    flat = _flat(camera, xy)
    return flat if np.isfinite(flat).all() else None


def _flat(camera: pycolmap.Camera, xy: np.ndarray) -> np.ndarray:
    """Positions, [K, 2], of points at xy in a pinhole camera of the same focal length and principal point."""
    focal = camera.focal_length_x, camera.focal_length_y
    centre = camera.principal_point_x, camera.principal_point_y
    return camera.cam_from_img(np.asarray(xy, np.float64)) * focal + centre
