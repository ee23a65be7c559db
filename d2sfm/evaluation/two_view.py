"""Accuracy of the geometry of two pictures from matches: against clicked points, and against a known pose.

Positions have pixel centres at integers, as in OpenCV and WxBS: half a pixel matters at a limit of 1 px.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from d2sfm.evaluation.relative_poses import angular_errors

WITHIN_PX = tuple(range(1, 21))
LEAST = {"fundamental": 8, "essential": 5}  # matches that are asked for
CONFIDENCE, MAX_NUM_TRIALS = 0.999, 50000
ESSENTIAL_CONFIDENCE = 0.99999  # SuperGlue's


class Estimate(NamedTuple):
    """A matrix, [3, 3], or None, and which matches agree with it, [K] bool."""

    matrix: np.ndarray | None
    inliers: np.ndarray


def fundamental_matrix(xy_a: np.ndarray, xy_b: np.ndarray, max_error_px: float) -> Estimate:
    """By OpenCV's MAGSAC++, the same in every run. xy_a, xy_b: [K, 2], of matches."""
    if len(xy_a) < LEAST["fundamental"]:
        return _nothing(xy_a)
    a, b = (np.ascontiguousarray(xy, np.float64) for xy in (xy_a, xy_b))
    try:
        matrix, mask = cv2.findFundamentalMat(a, b, cv2.USAC_MAGSAC, max_error_px, CONFIDENCE, MAX_NUM_TRIALS)
    except cv2.error as error:
        # OpenCV's local optimisation fails on its own result where few matches of one plane determine no matrix.
        if "!model.empty()" not in error.err:
            raise
        return _nothing(xy_a)
    return _nothing(xy_a) if matrix is None else Estimate(matrix, mask.ravel() > 0)


def essential_matrix(
    xy_a: np.ndarray, xy_b: np.ndarray, intrinsics: Sequence[np.ndarray], max_error_px: float
) -> Estimate:
    """By OpenCV's RANSAC as SuperGlue's evaluation calls it. Several of five points may lie below each other, [3n, 3].

    xy_a, xy_b: [K, 2], of matches; intrinsics: 3x3 matrices of both pictures.
    """
    if len(xy_a) < LEAST["essential"]:
        return _nothing(xy_a)
    a, b = _normalised((xy_a, xy_b), intrinsics)
    focal = np.mean([matrix[[0, 1], [0, 1]] for matrix in intrinsics])
    settings = {"method": cv2.RANSAC, "prob": ESSENTIAL_CONFIDENCE, "threshold": max_error_px / focal}
    matrix, mask = cv2.findEssentialMat(a, b, np.eye(3), **settings)
    return _nothing(xy_a) if matrix is None else Estimate(matrix, mask.ravel() > 0)


def pose_error_deg(
    xy_a: np.ndarray, xy_b: np.ndarray, intrinsics: Sequence[np.ndarray], estimate: Estimate, b_from_a: np.ndarray
) -> float:
    """The larger of the angles by which rotation and direction of translation are wrong; infinite without a matrix.

    estimate: of the matches, see ``essential_matrix``; b_from_a: the true pose, [4, 4]. The direction's sign is open.
    """
    if estimate.matrix is None:
        return np.inf
    a, b = _normalised((xy_a, xy_b), intrinsics)
    best, most = None, 0
    for matrix in np.split(estimate.matrix, len(estimate.matrix) // 3):
        count, rotation, translation, _ = cv2.recoverPose(matrix, a, b, np.eye(3), 1e9, mask=_mask(estimate))
        if count > most:
            best, most = (rotation, translation.ravel()), count
    if best is None:
        return np.inf
    truth = b_from_a[None, :3, :3], b_from_a[None, :3, 3]
    [turned], [aside] = angular_errors(*(each[None] for each in best), *truth)
    aside = min(aside, np.pi - aside) if truth[1].any() else 0.0
    return float(np.degrees(max(turned, aside)))


def epipolar_distances(points: np.ndarray, fundamental: np.ndarray) -> np.ndarray:
    """Symmetric epipolar distance of points that belong together, [N, 4] as x, y in both pictures: [N] pixels.

    The root of the sum of both squared distances from the epipolar lines, as WxBS's own package takes it.
    """
    a, b = (np.column_stack([xy, np.ones(len(points))]) for xy in (points[:, :2], points[:, 2:]))
    lines_b, lines_a = a @ fundamental.T, b @ fundamental
    residuals = (b * lines_b).sum(1)
    return np.hypot(*(residuals / np.hypot(*lines[:, :2].T) for lines in (lines_a, lines_b)))


def share_within(points: np.ndarray, fundamental: np.ndarray | None) -> np.ndarray:
    """Share of the points that a fundamental matrix puts within each of ``WITHIN_PX``, [20]; 0 without a matrix."""
    if fundamental is None:
        return np.zeros(len(WITHIN_PX))
    return (epipolar_distances(points, fundamental)[:, None] <= WITHIN_PX).mean(0)


def _nothing(xy: np.ndarray) -> Estimate:
    return Estimate(None, np.zeros(len(xy), bool))


def _mask(estimate: Estimate) -> np.ndarray:
    """A new one: OpenCV writes into it."""
    return estimate.inliers.astype(np.uint8)[:, None]


def _normalised(positions: Sequence[np.ndarray], intrinsics: Sequence[np.ndarray]) -> list[np.ndarray]:
    """On the planes z = 1 of both cameras, [K, 2] each."""
    return [
        (np.asarray(xy, np.float64) - matrix[:2, 2]) / matrix[[0, 1], [0, 1]]
        for xy, matrix in zip(positions, intrinsics, strict=True)
    ]
