"""Pairs of images whose agreement chance explains.

RANSAC finds some epipolar geometry for any two images, and the more matches there are the more of them agree with it.
A fixed least number of inliers thus lets through half of the pairs of a collection of D2 features.
"""

from collections.abc import Sequence
from math import inf, lgamma, log, log10, pi

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow
from d2sfm.matching.known_poses import known_views
from d2sfm.matching.prosac import Relation, agreeing_with_one
from d2sfm.matching.settings import Thresholds
from d2sfm.options import VerificationOptions

MODELS = {Relation.EPIPOLAR: 3, Relation.PLANE: 1}  # that as many matches as determine one allow at most
PLACE = 4  # times the largest error: matches of a plane so close to each other count once


def false_alarms_log10(matches: int, inliers: int, share: float, relation: Relation = Relation.EPIPOLAR) -> float:
    """How many geometries as good as this one random matches have on average, as decimal logarithm.

    share: of the image within the threshold of where a match should lie: a random match's probability to agree. The
    number is that of Moisan and Stival (A probabilistic criterion to detect rigid point matches, IJCV 2004); below 1
    chance does not explain the pair. It is infinite if no more matches agree than determine a geometry. Inliers found
    by guided matching count as matches, too.
    """
    matches, sample = max(matches, inliers), relation.value
    if inliers <= sample:
        return inf
    tests = log10(MODELS[relation] * (matches - sample))
    tests += _choices_log10(matches, inliers) + _choices_log10(inliers, sample)
    return tests + (inliers - sample) * log10(min(share, 1.0))


def _choices_log10(of: int, number: int) -> float:
    return (lgamma(of + 1) - lgamma(number + 1) - lgamma(of - number + 1)) / log(10)


def share_near_line(camera: pycolmap.Camera, max_error_px: float) -> float:
    """Share of an image that lies within max_error_px (pixels of the photograph) of a line along its diagonal."""
    return 2 * max_error_px * float(np.hypot(camera.width, camera.height)) / (camera.width * camera.height)


def false_alarms_of_pair(cameras: Sequence[pycolmap.Camera], matches: int, inliers: int, max_error_px: float) -> float:
    """As ``false_alarms_log10``, of epipolar geometries of two images.

    matches: of the pair, of which ``inliers`` agree within max_error_px, in pixels of the photographs.
    """
    share = max(share_near_line(camera, max_error_px) for camera in cameras)
    return false_alarms_log10(matches, inliers, share)


def chance_explains(cameras: Sequence[pycolmap.Camera], matches: int, inliers: int, max_error_px: float) -> bool:
    """Whether random matches of two images would agree as well with some epipolar geometry; see above."""
    return false_alarms_of_pair(cameras, matches, inliers, max_error_px) > 0


def chance_explains_known(cameras: Sequence[pycolmap.Camera], matches: int, inliers: int, max_error_px: float) -> bool:
    """Whether as many random matches of two images would agree with the geometry of their known poses.

    Matches did not choose it, so fewer of them tell it from chance.
    """
    share = max(share_near_line(camera, max_error_px) for camera in cameras)
    return _choices_log10(matches, inliers) + inliers * log10(min(share, 1.0)) > 0


def chance_explains_plane(
    cameras: Sequence[pycolmap.Camera], matches: int, xy_a: np.ndarray, xy_b: np.ndarray, max_error_px: float
) -> bool:
    """Whether random matches of two images would agree as well with some homography, both ways.

    xy_a, xy_b: [N, 2], of the agreeing matches, in pixels of the photographs. A homography determines where a match
    lies, not only a line, so a few are enough. Matches close together count once: on a facade with windows, a group of
    them agrees with another window.
    """
    places = min(len(np.unique(xy // (PLACE * max_error_px), axis=0)) for xy in (xy_a, xy_b))
    share = max(pi * max_error_px**2 / (camera.width * camera.height) for camera in cameras)
    return false_alarms_log10(matches, places, share, Relation.PLANE) > 0


def chance_pairs(store: MatchStore, thresholds: Thresholds) -> np.ndarray:
    """Verified pairs that chance explains: their numbers (see ``pair_ids``), [P] int64, ascending.

    Pairs of d2sfm's own matches are tested when they are verified, so such pairs come from earlier versions, or from
    matches or geometries of another tool. Those of known poses are left alone. thresholds: of verification.
    """
    cameras = {image_id: store.camera(image_id) for image_id in store.image_names()}
    counts = store.pair_counts()
    are_known = np.isin(image_pairs(counts["pair_id"]), list(known_views(store))).all(axis=1)
    counts, found = counts[(counts["inliers"] > 0) & ~are_known], []
    for pair, (pair_id, matches, inliers) in zip(image_pairs(counts["pair_id"]).tolist(), counts.tolist(), strict=True):
        max_error_px = thresholds.of_pair_px(pair)
        of_pair = [cameras[image_id] for image_id in pair]
        if not chance_explains(of_pair, matches, inliers, max_error_px):
            continue  # of the fewer matches that verification sees, it would explain less: they need not be read
        matches = _seen(store, pair, matches)
        if chance_explains(of_pair, matches, inliers, max_error_px) and not _is_plane(
            store, pair, of_pair, matches, max_error_px
        ):
            found.append(pair_id)
    return np.array(found, np.int64)


def _seen(store: MatchStore, pair: Sequence[int], matches: int) -> int:
    """How many of a pair's matches verification sees."""
    try:
        return len(store.open_matches(*pair))
    except UnusableRow:
        return matches  # what the row says


def _is_plane(
    store: MatchStore, pair: Sequence[int], cameras: Sequence[pycolmap.Camera], matches: int, max_error_px: float
) -> bool:
    """Whether half of the pair's inliers or more agree with one homography, and chance does not explain these."""
    try:
        xy = [
            store.keypoints(image_id)[of_image]
            for image_id, of_image in zip(pair, store.inlier_matches(*pair).T, strict=True)
        ]
    except UnusableRow:
        return False  # the mapper leaves the pair out
    if len(xy[0]) <= Relation.EPIPOLAR.value:
        return False
    settings = {"max_num_trials": VerificationOptions.max_num_trials, "min_inlier_ratio": 0.5, "seed": 0}
    agree, _ = agreeing_with_one(Relation.PLANE, *xy, np.zeros(len(xy[0])), max_error_px, **settings)
    return not chance_explains_plane(cameras, matches, xy[0][agree], xy[1][agree], max_error_px)
