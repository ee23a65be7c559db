"""Pairs of photographs that look alike, by one global descriptor of each."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from d2sfm.pairs.arrays import nearest, unique_pairs

COLUMNS = 1024
# One processor compares all of these with each other in seven minutes, twice as many in half an hour.
MANY_IMAGES = 20_000


def retrieval(
    image_ids: np.ndarray, descriptors: np.ndarray, number: int, queries: np.ndarray | None = None
) -> np.ndarray:
    """Pairs of each image with the ``number`` images of the highest cosine similarity, lower ids first at a tie.

    image_ids: [N], ascending; descriptors: [N, D] of unit length, float16 or float32, zeros for an image that looks
    like no other; queries: [N] bool, the images that look for others (default: all). Returns [P, 2] uint32, ascending:
    a pair that either asks for is there once. Of MANY_IMAGES, where faiss is installed, a few in a thousand are others.
    """
    if len(image_ids) >= MANY_IMAGES and find_spec("faiss"):
        from d2sfm.pairs.reduced import nearest_reduced

        first, second = nearest_reduced(descriptors, number)
    else:
        first, second = nearest(similarities(descriptors), len(image_ids), number)
    if queries is not None:
        first, second = first[queries[first]], second[queries[first]]
    return unique_pairs(image_ids[first], image_ids[second])


def similarities(descriptors: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """Cosine similarities of some rows with all, float32, for ``arrays.nearest``; -inf where a descriptor is zeros.

    Some columns at a time, so that descriptors in float16 are not all there in float32, too.
    """
    blank = ~descriptors.any(axis=1)

    def score(begin: int, end: int) -> np.ndarray:
        rows = descriptors[begin:end].astype(np.float32)
        block = np.empty((end - begin, len(descriptors)), np.float32)
        for start in range(0, len(descriptors), COLUMNS):
            columns = descriptors[start : start + COLUMNS].astype(np.float32, copy=False)
            np.matmul(rows, columns.T, out=block[:, start : start + COLUMNS])
        block[:, blank] = block[blank[begin:end]] = -np.inf
        return block

    return score
