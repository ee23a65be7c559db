"""Pairs of photographs that were taken near each other, by the GPS positions of their EXIF data."""

from collections.abc import Mapping

import numpy as np
import pycolmap

from d2sfm.pairs.arrays import nearest, unique_pairs

ID_STEP_M = 1e-6  # of a burst at one position each image gets those before and after it, not all the same few
WGS84 = pycolmap.PosePriorCoordinateSystem.WGS84


def positions_m(priors: Mapping[int, pycolmap.PosePrior], use_altitude: bool) -> dict[int, np.ndarray]:
    """Positions in metres, [3] float64, by image_id, of the images whose prior has one.

    Latitude and longitude become geocentric coordinates, whose differences are those of any local frame; others are
    taken as metres, as COLMAP does. Without altitude, positions are those below on the ellipsoid or in the plane z = 0.
    Latitude and longitude 0 stand for a receiver without a fix. Raises RuntimeError where some are geographic and
    some are not.
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
            f"{len(geographic & known.keys())} of {len(known)} position priors are geographic, others not"
        )
    if not geographic & known.keys():
        return known
    metres = pycolmap.GPSTransform().ellipsoid_to_ecef(np.array(list(known.values())))
    return dict(zip(known, metres, strict=True))


def spatial(image_ids: np.ndarray, positions: np.ndarray, number: int, max_distance_m: float) -> np.ndarray:
    """Pairs of each image with the ``number`` nearest ones that are not further away, near ids first at a tie.

    image_ids: [N], ascending; positions: [N, 3] in metres. Returns [P, 2] uint32, ascending.
    """
    first, second = nearest(proximities(positions, max_distance_m, ID_STEP_M), len(image_ids), number)
    return unique_pairs(image_ids[first], image_ids[second])


def proximities(positions: np.ndarray, max_distance: float = np.inf, index_step: float = 0.0):
    """Negative distances of some positions to all, [rows, N], for ``arrays.nearest``; -inf beyond the largest.

    index_step: what the distance grows with each step between the indices of two positions.
    """

    def score(begin: int, end: int) -> np.ndarray:
        # Differences axis by axis: squares of geocentric coordinates have no digits left for metres.
        axes = (positions[begin:end, None, axis] - positions[None, :, axis] for axis in range(3))
        distance = np.sqrt(sum(difference * difference for difference in axes))
        steps = np.abs(np.arange(begin, end)[:, None] - np.arange(len(positions)))
        return np.where(distance <= max_distance, -distance - index_step * steps, -np.inf)

    return score
