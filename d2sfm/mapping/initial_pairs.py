"""Pairs of images from which mapping can start.

COLMAP starts with the image that has most matches and its best partner, for any seed, and takes another pair only if
these give no model at all. A wrong model of three images ends the run: with one of ten verifications of a collection of
internet photographs, all twelve starts ended so, while other pairs gave the whole model.

It never starts with a pair whose camera moved straight ahead, or whose rays meet at less than 4 degrees. A walk along a
street has hardly any other pairs, and most of these "narrow" ones give the whole model.
"""

import math
from dataclasses import dataclass

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs

TRIED = 100  # most pairs that are looked at, a few ms each
# What COLMAP asks of the number of inliers and of the angle, and what it goes down to where no pair has that.
SHARES = ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.25, 0.5), (0.25, 0.25))
NARROW_DEG = 0.5  # least angle of narrow pairs
# Of a plane, or of a camera that only turned, a homography explains all: the angle is made of the keypoints' errors.
OF_DEPTH = (pycolmap.TwoViewGeometryConfiguration.CALIBRATED, pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED)


@dataclass(frozen=True, kw_only=True)
class InitialPair:
    """Two images to start with.

    image_ids: the smaller one first. is_narrow: whether they pass only the limits of ``allow_narrow``.
    """

    image_ids: tuple[int, int]
    is_narrow: bool = False


def allow_narrow(limits: pycolmap.IncrementalMapperOptions) -> None:
    """Let a mapper start, too, with rays at NARROW_DEG and with a camera that moves straight ahead. In place."""
    limits.init_min_tri_angle = min(limits.init_min_tri_angle, NARROW_DEG)
    limits.init_max_forward_motion = 1.0


def initial_pairs(
    store: MatchStore, limits: pycolmap.IncrementalMapperOptions, without: np.ndarray, *, most: int
) -> list[InitialPair]:
    """Up to ``most`` pairs that pass the mapper's test of an initial pair, best first.

    limits: of the mapper, init_max_error in pixels of the photographs. without: numbers (see ``pair_ids``) of pairs to
    leave out; so are pairs of one frame of a rig, which COLMAP never starts with. Pairs with enough inliers of a
    calibrated geometry and a wide enough angle come before those that only pass COLMAP's relaxed limits, and narrow
    ones with enough inliers last; within each of these, those with more verified matches come first.
    """
    counts = store.verified_counts(np.concatenate([without, store.frame_pairs()]))
    names = store.image_names()
    places = np.searchsorted(list(names), image_pairs(counts["pair_id"]))
    first, second = np.array(list(names.values()))[places].T
    ranked = image_pairs(counts["pair_id"][np.lexsort((second, first, -counts["inliers"]))][:TRIED])
    by_rank: list[list[InitialPair]] = [[] for _ in (*SHARES, NARROW_DEG)]
    for image_ids in map(tuple, ranked.tolist()):
        rank = _rank(store, image_ids, limits)
        if rank is not None:
            by_rank[rank].append(InitialPair(image_ids=image_ids, is_narrow=rank == len(SHARES)))
        if len(by_rank[0]) == most:
            break
    return [pair for pairs in by_rank for pair in pairs][:most]


def _rank(store: MatchStore, pair: tuple[int, int], limits: pycolmap.IncrementalMapperOptions) -> int | None:
    """The index of the first of SHARES that the pair passes, as in COLMAP's IncrementalMapper, which hides it.

    Their number where it is narrow, None where it is neither.
    """
    matches = store.inlier_matches(*pair)
    views = [view for image_id in pair for view in (store.camera(image_id), store.keypoints(image_id)[:, :2])]
    settings = pycolmap.TwoViewGeometryOptions()
    settings.ransac.min_num_trials = 30
    settings.ransac.max_error = limits.init_max_error
    settings.ransac.random_seed = limits.random_seed
    geometry = pycolmap.estimate_calibrated_two_view_geometry(*views, matches, settings)
    if not pycolmap.estimate_two_view_geometry_pose(*views, geometry):
        return None
    inliers, angle_deg = len(geometry.inlier_matches), math.degrees(geometry.tri_angle)
    is_aside = abs(geometry.cam2_from_cam1.translation[2]) < limits.init_max_forward_motion
    passed = [
        is_aside
        and inliers >= of_inliers * limits.init_min_num_inliers
        and angle_deg > of_angle * limits.init_min_tri_angle
        for of_inliers, of_angle in SHARES
    ]
    has_depth = geometry.config in OF_DEPTH and angle_deg > NARROW_DEG
    passed.append(has_depth and inliers >= limits.init_min_num_inliers)
    return passed.index(True) if any(passed) else None
