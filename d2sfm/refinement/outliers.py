"""Keypoints and matches that do not belong to the tracks that they are in.

Matches of similar windows agree with the geometry of a pair where they lie along its lines, and so do keypoints whose
alignment has failed. Tracks tell them apart: their exact keypoints show one point, and one point alone.

A node is exact if its sigma is finite: grey values have accepted it. It is sure if it is exact, or the reference of its
track. It is an outlier if its sigma is OUTLIER, which is so in memory alone: the database has NaN.
"""

import numpy as np

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.tracks import Tracks

OUTLIER = np.inf  # in place of a node's standard deviation
ENOUGH_SURE = 3  # nodes of a track
SHARE_OF_EXACT = 0.5  # of the keypoints of an image


def sure_nodes(tracks: Tracks, sigmas: np.ndarray) -> np.ndarray:
    """The nodes of tracks that are exact, and references, which all others are compared with: ascending.

    sigmas: [N] standard deviations of positions, NaN where they are not exact.
    """
    return np.union1d(np.flatnonzero(np.isfinite(sigmas) & (tracks.of_node >= 0)), tracks.reference)


def with_outliers(tracks: Tracks, images: np.ndarray, moving: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """The sigmas, [N], with OUTLIER for nodes that are not exact, and that both their track and their image can spare.

    images: [N] of the nodes; moving: the nodes that were aligned.

    A track that enough images see surely needs no others. In an image whose keypoints are exact as a rule, those that
    are not are wrong as a rule. In one that looks unlike the others they are all that it has, and stay.
    """
    of_node, count = tracks.of_node, 1 + images.max(initial=-1)
    in_track = np.bincount(of_node[sure_nodes(tracks, sigmas)], minlength=len(tracks.reference))
    exact, others = moving[np.isfinite(sigmas[moving])], moving[np.isnan(sigmas[moving])]
    in_image, of_image = (np.bincount(images[nodes], minlength=count) for nodes in (exact, moving))
    most_are_exact = in_image > SHARE_OF_EXACT * of_image
    found = sigmas.copy()
    found[others[(in_track[of_node[others]] >= ENOUGH_SURE) & most_are_exact[images[others]]]] = OUTLIER
    return found


def refuted_matches(
    store: MatchStore, collection: Collection, tracks: Tracks, sigmas: np.ndarray, around: frozenset[int]
) -> dict[tuple[int, int], np.ndarray]:
    """Matches of exact nodes of two tracks, and of an exact node with an outlier of its track: [K, 2] by pair of ids,
    which ascend, of pairs with an image of the ids ``around``.

    sigmas: as of ``with_outliers``. Matches of keypoints that are not in the collection are left as they are.
    """
    of_exact = np.where(np.isfinite(sigmas), tracks.of_node, -1)
    of_outlier = np.where(sigmas == OUTLIER, tracks.of_node, -1)
    split = (np.split(each, collection.first_node[1:-1]) for each in (of_exact, of_outlier))
    of_images = {image.image_id: each for image, *each in zip(collection.images, *split, strict=True)}
    found = {}
    for pair in map(tuple, image_pairs(store.done_pairs(verified=False)).tolist()):
        if around.isdisjoint(pair) or not of_images.keys() >= set(pair):
            continue
        (exact_a, outlier_a), (exact_b, outlier_b) = (of_images[image_id] for image_id in pair)
        try:
            matches = store.matches(*pair)
        except UnusableRow:  # which reading the collection has named
            continue
        matches = matches[(matches < [len(exact_a), len(exact_b)]).all(axis=1)]
        (a, b), ends = matches.T, (exact_a, outlier_a, exact_b, outlier_b)
        of_a, out_a, of_b, out_b = (of_side[rows] for of_side, rows in zip(ends, (a, a, b, b), strict=True))
        are_apart = (of_a >= 0) & (of_b >= 0) & (of_a != of_b)
        are_outliers = (of_a >= 0) & (of_a == out_b) | (of_b >= 0) & (of_b == out_a)
        if (are_apart | are_outliers).any():
            found[pair] = matches[are_apart | are_outliers]
    return found
