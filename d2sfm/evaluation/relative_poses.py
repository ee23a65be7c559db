"""Errors of relative poses, and the recall curve of benchmarks."""

from collections.abc import Sequence

import numpy as np


def angular_errors(
    rotation: np.ndarray, translation: np.ndarray, true_rotation: np.ndarray, true_translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Angles between P relative rotations, [P, 3, 3], and between directions of translation, [P, 3]: [P] radians each.

    The second is infinite where a translation is 0, and no more than noise where the true one is.
    """
    # Chords and atan2 are exact for small angles, where arccos loses half of the digits.
    chord = np.linalg.norm(rotation - true_rotation, axis=(1, 2)) / np.sqrt(8)
    across = np.linalg.norm(np.cross(translation, true_translation), axis=1)
    aside = np.arctan2(across, np.sum(translation * true_translation, axis=1))
    aside[~translation.any(axis=1)] = np.inf
    return 2 * np.arcsin(np.minimum(chord, 1)), aside


def area_under_curve(errors: np.ndarray, thresholds: Sequence[float]) -> tuple[float, ...]:
    """Area under the recall curve of errors, [P], from 0 to each threshold, divided by it: 0 to 1.

    The curve is that of the literature (SuperGlue, hloc): straight from 0, 0 through k of P at the k-th smallest error,
    and level from the last error below the threshold on. Raises ValueError for a threshold that is not above 0.
    """
    if not all(threshold > 0 for threshold in thresholds):
        raise ValueError(f"thresholds must be above 0, found {list(thresholds)}")
    errors, areas = np.sort(errors), []
    for threshold in thresholds:
        below = errors[errors < threshold]
        error = np.concatenate([[0.0], below, [threshold]])
        recall = np.minimum(np.arange(len(error)), len(below)) / len(errors)
        areas.append(float(np.sum(np.diff(error) * (recall[1:] + recall[:-1]) / 2) / threshold))
    return tuple(areas)
