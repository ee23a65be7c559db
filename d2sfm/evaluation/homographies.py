"""Matches of two pictures of a plane against the true homography. Positions have pixel centres at integers."""

from typing import NamedTuple

import cv2
import numpy as np

from d2sfm.coordinates import Size

ACCURACY_PX = tuple(range(1, 11))
CORNERS_PX = (1, 3, 5)
MOST_TRIALS, CONFIDENCE = 50000, 0.9999
_FEWEST = 4  # matches that a homography needs


class PairFigures(NamedTuple):
    """How good the matches of a pair are.

    accuracy: share of all matches within each of ``ACCURACY_PX``, 0 if there is none; corner_px: mean error of the
    first picture's corners under the homography that is estimated from them, infinite if there is none.
    """

    matches: int
    accuracy: np.ndarray
    corner_px: float


def pair_figures(xy_a: np.ndarray, xy_b: np.ndarray, truth: np.ndarray, size: Size, max_error: float) -> PairFigures:
    """Of matches at xy_a and xy_b, [N, 2] each in pixels of their picture.

    truth: [3, 3], from a to b; size: (width, height) of picture a; max_error: of the homography that is estimated, in
    pixels of picture b.
    """
    errors = np.linalg.norm(projected(truth, xy_a) - xy_b, axis=1)
    accuracy = np.array([np.mean(errors <= limit) if len(errors) else 0.0 for limit in ACCURACY_PX])
    return PairFigures(len(xy_a), accuracy, corner_error(estimated(xy_a, xy_b, max_error)[0], truth, size))


def projected(homography: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Positions under a homography, [N, 2] float64; not finite where it has none."""
    found = np.column_stack([xy, np.ones(len(xy))]) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return found[:, :2] / found[:, 2:]


def estimated(xy_a: np.ndarray, xy_b: np.ndarray, max_error: float) -> tuple[np.ndarray | None, np.ndarray]:
    """The homography from a to b by MAGSAC, [3, 3], None if there is none, and which matches agree, [N] bool.

    max_error: pixels of picture b. Equal matches give equal homographies.
    """
    none = None, np.zeros(len(xy_a), bool)
    if len(xy_a) < _FEWEST:
        return none
    points = (np.asarray(each, np.float64) for each in (xy_a, xy_b))
    limits = {"ransacReprojThreshold": max_error, "maxIters": MOST_TRIALS, "confidence": CONFIDENCE}
    homography, agree = cv2.findHomography(*points, cv2.USAC_MAGSAC, **limits)
    if homography is None or not np.isfinite(homography).all():
        return none
    return homography, agree.ravel().astype(bool)


def corner_error(homography: np.ndarray | None, truth: np.ndarray, size: Size) -> float:
    """Mean distance of the corners of picture a under both, in pixels of picture b; infinite if there is none."""
    if homography is None:
        return np.inf
    x, y = size[0] - 1, size[1] - 1
    corners = np.array([[0, 0], [x, 0], [0, y], [x, y]], np.float64)
    error = np.linalg.norm(projected(homography, corners) - projected(truth, corners), axis=1).mean()
    return float(error) if np.isfinite(error) else np.inf
