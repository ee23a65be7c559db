"""Pairs of photographs that were taken near each other, by the GPS positions of their EXIF data."""

from collections.abc import Callable, Mapping

import numpy as np
import pycolmap
from scipy.spatial import cKDTree

from d2sfm.pairs.arrays import largest, unique_pairs

ID_STEP_M = 1e-6  # of a burst at one position each image gets those before and after it, not all the same few
ROUNDING = 1e-9  # relative, far above what lengths are off by
BLOCK_ENTRIES = 1 << 18  # candidates looked at together, at a hundred bytes each
TREE_SHARE = 8  # beyond this part of all positions, looking at each is faster than asking the tree
WGS84 = pycolmap.PosePriorCoordinateSystem.WGS84


def positions_m(priors: Mapping[int, pycolmap.PosePrior], use_altitude: bool) -> dict[int, np.ndarray]:
    """Positions in metres, [3] float64, by image_id, of the images whose prior has one.

    Latitude and longitude become geocentric coordinates, whose differences are those of any local frame; others are
    taken as metres, as COLMAP does. Without altitude, positions are those below on the ellipsoid or in the plane z = 0.
    Latitude and longitude 0 stand for a receiver without a fix. Raises RuntimeError if some are geographic and some are
    not.
    """
    found = {image_id: np.array(prior.position, float).reshape(3) for image_id, prior in priors.items()}
    if not use_altitude:
        for position in found.values():
            position[2] = 0  # also where it is unknown, NaN
    geographic = {image_id for image_id, prior in priors.items() if prior.coordinate_system == WGS84}
    known = {
        image_id: position
        for image_id, position in found.items()
        if np.isfinite(position).all() and not (image_id in geographic and not position[:2].any())
    }
    if 0 < len(geographic & known.keys()) < len(known):
        raise RuntimeError(
            f"position priors are of two kinds, {len(geographic & known.keys())} of {len(known)} geographic: expected "
            "one kind"
        )
    if not geographic & known.keys():
        return known
    metres = pycolmap.GPSTransform().ellipsoid_to_ecef(np.array(list(known.values())))
    return dict(zip(known, metres, strict=True))


def spatial(image_ids: np.ndarray, positions: np.ndarray, number: int, max_distance_m: float) -> np.ndarray:
    """Pairs of each image with the ``number`` nearest ones that are not further away, near ids first at a tie.

    image_ids: [N], ascending; positions: [N, 3] in metres. Returns [P, 2] uint32, ascending.
    """
    first, second = nearest_positions(positions, number, max_distance_m, index_step=ID_STEP_M)
    return unique_pairs(image_ids[first], image_ids[second])


def nearest_positions(
    positions: np.ndarray,
    number: int,
    max_distance: float = np.inf,
    index_step: float = 0.0,
    allowed: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """For each position, [N, 3] float64, the ``number`` nearest others up to a distance, of lower indices at a tie.

    max_distance: above 0. index_step: what distances grow with each step between the indices of two positions.
    allowed: called with indices of positions, [R, 1], and of others, [R, K], tells which may be neighbours, [R, K].
    Returns indices of positions and of their neighbours, [M] int64 each, in no order.
    """
    count, everything = len(positions), np.arange(len(positions))
    # The steps as a fourth axis: lengths in 4D, never above what is asked for, tell apart positions that are equal.
    points = np.column_stack([positions, index_step * everything])
    tree, reach = cKDTree(points), (max_distance + index_step * count) * (1 + ROUNDING)
    found = [np.zeros((2, 0), np.int64)]
    rows, size = everything[: count if number else 0], number + 2
    while len(rows):
        size = size if size < count / TREE_SHARE else count
        unfinished = []
        for block in np.array_split(rows, -(-len(rows) * size // BLOCK_ENTRIES)):
            if size < count:
                lengths, others = tree.query(points[block], size, distance_upper_bound=reach)
                farthest, others = lengths[:, -1], np.sort(np.where(others < count, others, block[:, None]))
            else:
                farthest, others = np.inf, everything[None]
            distance = np.linalg.norm(positions[block, None] - positions[others], axis=2)
            score = -distance - index_step * np.abs(block[:, None] - others)
            score[(others == block[:, None]) | (distance > max_distance)] = -np.inf
            if allowed is not None:
                score[~allowed(block[:, None], others)] = -np.inf
            chosen = largest(score, number)
            full = chosen.sum(axis=1) == number
            done = np.isinf(farthest) | full & (farthest > -np.where(chosen, score, 0).min(axis=1) * (1 + ROUNDING))
            of_block, columns = np.nonzero(chosen & done[:, None])
            found.append(np.stack([block[of_block], np.broadcast_to(others, score.shape)[of_block, columns]]))
            unfinished.append(block[~done])
        rows, size = np.concatenate(unfinished), 4 * size
    return tuple(np.concatenate(found, axis=1))
