"""How the surroundings of a keypoint are stretched and turned from one image to another, from its matches around.

The offsets of neighbouring matches tell it without any look at the pixels. Errors of a few pixels in each position
matter little over distances of a hundred.
"""

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 32
ROBUST_PX = 6.0  # distance at which a neighbour's weight is halved: matches off by twice a keypoint's error are false
POSITION_ERROR_PX = 4.0  # of a match, both keypoints together
WARP_DEVIATION = 0.3  # how far local warps are expected from that of the whole pair
LARGEST_STRETCH = 3.0
ROUNDS = 3


def local_warps(xy_a: np.ndarray, xy_b: np.ndarray) -> np.ndarray:
    """The affine map b_from_a around each match of a pair of images, [M, 2, 2], for offsets (x, y).

    xy_a, xy_b: [M, 2] positions in pixels of the network input. A robust least-squares fit to the nearest matches,
    drawn to the similarity of the whole pair where these are few or lie on a line. Maps that mirror, or stretch by
    more than a factor of 3 either way, are replaced by that similarity.
    """
    if not len(xy_a):
        return np.zeros((0, 2, 2))
    whole = _similarity(xy_a, xy_b)
    if len(xy_a) < 4:
        return np.tile(whole, (len(xy_a), 1, 1))
    count = min(NEIGHBOURS + 1, len(xy_a))
    _, near = cKDTree(xy_a).query(xy_a, k=count)
    a, b = xy_a[near], xy_b[near]
    # Near matches count more, with a floor that keeps dense clusters from shrinking the base.
    spread = np.linalg.norm(a - xy_a[:, None], axis=2)
    near_weight = np.exp(-0.5 * (spread / np.maximum(spread[:, -1:], 1e-9)) ** 2)
    robust = np.ones_like(near_weight)
    ridge = (POSITION_ERROR_PX / WARP_DEVIATION) ** 2 * np.eye(2)
    for _ in range(ROUNDS):
        weight = near_weight * robust
        total = weight.sum(axis=1)[:, None, None]
        mean_a, mean_b = ((weight[:, :, None] * x).sum(axis=1, keepdims=True) / total for x in (a, b))
        offset_a, offset_b = a - mean_a, b - mean_b
        weighted = weight[:, :, None] * offset_a
        cross = offset_b.transpose(0, 2, 1) @ weighted + whole @ ridge
        square = offset_a.transpose(0, 2, 1) @ weighted + ridge
        warps = cross @ np.linalg.inv(square)
        left = np.linalg.norm(offset_b - offset_a @ warps.transpose(0, 2, 1), axis=2)
        robust = 1 / (1 + (left / ROBUST_PX) ** 2)
    stretches = np.linalg.svd(warps, compute_uv=False)
    odd = (np.linalg.det(warps) <= 0) | (stretches[:, 0] > LARGEST_STRETCH) | (stretches[:, 1] < 1 / LARGEST_STRETCH)
    warps[odd] = whole
    return warps


def _similarity(xy_a: np.ndarray, xy_b: np.ndarray) -> np.ndarray:
    """Rotation and scale of the similarity that fits all matches best, [2, 2]; robust as above."""
    weight = np.ones(len(xy_a))
    result = np.eye(2)
    for _ in range(2 * ROUNDS):
        share = weight / weight.sum()
        # As complex numbers a similarity without mirroring is one factor.
        a, b = (xy[:, 0] + 1j * xy[:, 1] for xy in (xy_a, xy_b))
        a, b = a - (share * a).sum(), b - (share * b).sum()
        square = (weight * np.abs(a) ** 2).sum()
        if square < 1e-9:
            return result
        factor = (weight * b * a.conj()).sum() / square
        if not 1 / LARGEST_STRETCH <= abs(factor) <= LARGEST_STRETCH:
            return result
        result = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
        left = np.abs(b - factor * a)
        # Parallax is no error: the median keeps the scale of what is usual in this pair.
        weight = 1 / (1 + (left / max(np.median(left), ROBUST_PX)) ** 2)
    return result
