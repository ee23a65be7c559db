"""Pairs of images whose agreement chance explains.

RANSAC finds some epipolar geometry for any two images, and the more matches there are the more of them agree with it.
A fixed least number of inliers thus lets through half of the pairs of a collection of D2 features.
"""

from collections.abc import Mapping
from math import inf, lgamma, log, log10

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.matching.settings import Threshold, pair_threshold_px

SAMPLE = 7  # matches that determine a fundamental matrix, up to MODELS of them
MODELS = 3


def false_alarms_log10(matches: int, inliers: int, share: float) -> float:
    """How many geometries as good as this one random matches have on average, as decimal logarithm.

    share: that of the image within the threshold of an epipolar line, so a random match's probability to agree. The
    number is that of Moisan and Stival (A probabilistic criterion to detect rigid point matches, IJCV 2004); below 1
    chance does not explain the pair. It is infinite where no more matches agree than determine a geometry. Inliers that
    guided matching found are matches, too.
    """
    matches = max(matches, inliers)
    if inliers <= SAMPLE:
        return inf
    tests = log10(MODELS * (matches - SAMPLE)) + _choices_log10(matches, inliers) + _choices_log10(inliers, SAMPLE)
    return tests + (inliers - SAMPLE) * log10(min(share, 1.0))


def _choices_log10(of: int, number: int) -> float:
    return (lgamma(of + 1) - lgamma(number + 1) - lgamma(of - number + 1)) / log(10)


def share_near_line(camera: pycolmap.Camera, max_error_px: float) -> float:
    """Share of an image that lies within max_error_px (pixels of the photograph) of a line along its diagonal."""
    return 2 * max_error_px * float(np.hypot(camera.width, camera.height)) / (camera.width * camera.height)


def chance_pairs(store: MatchStore, threshold: Threshold, factors: Mapping[int, float]) -> np.ndarray:
    """Verified pairs that chance explains: their numbers (see ``pair_ids``), [P] int64, ascending.

    threshold: of verification; factors: resize factors by image id, see ``pair_threshold_px``.
    """
    cameras = {image_id: store.camera(image_id) for image_id in store.image_names()}
    counts = store.pair_counts()
    counts, found = counts[counts["inliers"] > 0], []
    for pair, (pair_id, matches, inliers) in zip(image_pairs(counts["pair_id"]).tolist(), counts.tolist(), strict=True):
        max_error_px = pair_threshold_px(threshold, factors, pair)
        share = max(share_near_line(cameras[image_id], max_error_px) for image_id in pair)
        if false_alarms_log10(matches, inliers, share) > 0:
            found.append(pair_id)
    return np.array(found, np.int64)
