"""The keypoints of another extractor matched through D2's matches around them.

Few keypoints of two extractors coincide, so their tracks would share only cameras. Here the other extractor's own
keypoints are matched across a pair of images that its descriptors alone did not match.
"""

import numpy as np
from scipy.spatial import cKDTree

from d2sfm.refinement.prediction import NEIGHBOURS, carry

WITHIN_PX = 2.0  # of the predicted place, both ways
ALIKE = 0.5  # cosine of descriptors less their mean, which SIFT's do not have at 0: of any two, 1 in 100 are more alike
LEAST_ACROSS_PX = 2.0  # standard deviation of the nearest matches, across the direction in which they lie
MEAN_DISTANCE_PX = 1.0  # from the predicted places, both ways, of keypoints that descriptors do not join


def transferred(
    xy_a: np.ndarray,
    xy_b: np.ndarray,
    keypoints_a: np.ndarray,
    keypoints_b: np.ndarray,
    descriptors_a: np.ndarray | None = None,
    descriptors_b: np.ndarray | None = None,
) -> np.ndarray:
    """Matches of the keypoints of two images, [M, 2] int64: indices of a, ascending, and b, each at most once.

    xy_a, xy_b: [N, 2], verified matches. keypoints_a, keypoints_b: [A, 2] and [B, 2]. All are positions x, y in pixels
    of the network's input, for which distances are meant. descriptors_a,
    descriptors_b: [A, D] and [B, D] of any length; None if there are none.

    A keypoint is carried over by the affine map of the nearest matches, if these agree on one. Among the keypoints near
    its place, whose own maps lead back near it, it is matched with the one of the most similar descriptor, mutually; if
    none is similar, as from day to night, with the nearest, within a smaller distance.
    """
    if len(xy_a) < NEIGHBOURS or not len(keypoints_a) or not len(keypoints_b):
        return np.zeros((0, 2), np.int64)
    a, b, distance = _near_both_ways(*(np.asarray(xy, float) for xy in (xy_a, xy_b, keypoints_a, keypoints_b)))
    found = np.zeros((0, 2), np.int64)
    if descriptors_a is not None and descriptors_b is not None:
        cosine = _cosine(descriptors_a, descriptors_b, a, b)
        alike = cosine > ALIKE
        found = _mutually_best(a[alike], b[alike], -cosine[alike])
    left = ~np.isin(a, found[:, 0]) & ~np.isin(b, found[:, 1]) & (distance <= MEAN_DISTANCE_PX)
    found = np.concatenate([found, _mutually_best(a[left], b[left], distance[left])])
    return found[found[:, 0].argsort()]


def _near_both_ways(xy_a, xy_b, keypoints_a, keypoints_b) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of all keypoints a and b that are near each other's places, and their mean distances, [K] each."""
    there, back = carry(keypoints_a, xy_a, xy_b), carry(keypoints_b, xy_b, xy_a)
    sure_a = np.flatnonzero(there.is_sure & ~_are_on_line(keypoints_a, xy_a))
    sure_b = np.flatnonzero(back.is_sure & ~_are_on_line(keypoints_b, xy_b))
    near = cKDTree(there.xy[sure_a]).sparse_distance_matrix(
        cKDTree(keypoints_b[sure_b]), WITHIN_PX, output_type="ndarray"
    )
    a, b = sure_a[near["i"]], sure_b[near["j"]]
    returned = np.linalg.norm(back.xy[b] - keypoints_a[a], axis=1)
    is_near = returned <= WITHIN_PX
    return a[is_near], b[is_near], (near["v"] + returned)[is_near] / 2


def _are_on_line(places: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Whether the nearest matches of places lie on a line, so that they determine no affine map, [M] bool."""
    near = xy[cKDTree(xy).query(places, k=NEIGHBOURS)[1]]
    offsets = near - near.mean(axis=1, keepdims=True)
    across = np.linalg.eigvalsh(offsets.transpose(0, 2, 1) @ offsets / NEIGHBOURS)[:, 0]
    return across < LEAST_ACROSS_PX**2


def _cosine(descriptors_a: np.ndarray, descriptors_b: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines between the descriptors of these keypoints, less the mean of all descriptors of both images, [K]."""
    of_a, of_b = np.asarray(descriptors_a, float), np.asarray(descriptors_b, float)
    mean = np.concatenate([of_a, of_b]).mean(axis=0)
    of_a, of_b = of_a[a] - mean, of_b[b] - mean
    lengths = np.linalg.norm(of_a, axis=1) * np.linalg.norm(of_b, axis=1)
    return np.einsum("kd,kd->k", of_a, of_b) / np.maximum(lengths, np.finfo(float).tiny)


def _mutually_best(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Pairs of indices, [M, 2], that are each other's cheapest; the first of equal ones."""
    order = np.lexsort((b, a, cost))
    is_best = np.ones(len(a), bool)
    for side in (a[order], b[order]):
        best = np.zeros(len(a), bool)
        best[np.unique(side, return_index=True)[1]] = True
        is_best &= best
    return np.stack([a[order], b[order]], axis=1)[is_best]
