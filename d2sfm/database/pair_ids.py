"""COLMAP's number of a pair of images, 8 bytes where a tuple of two ids takes 100: two million pairs are 16 MB."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_IMAGES = 2147483647  # pair_id is MAX_IMAGES * smaller image_id + larger image_id
NO_PAIRS = np.zeros(0, np.int64)  # numbers of no pairs


def pair_ids(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The numbers of the pairs of first[k] and second[k], which may be in either order, [K] int64; they sort as pairs
    do."""
    first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
    return MAX_IMAGES * np.minimum(first, second) + np.maximum(first, second)


def image_pairs(ids: np.ndarray) -> np.ndarray:
    """The pairs of image ids of these numbers, the smaller id first, [K, 2] uint32."""
    return np.stack(np.divmod(np.asarray(ids, np.int64), MAX_IMAGES), axis=1).astype(np.uint32)


def rows_by_image(pairs: np.ndarray) -> Mapping[int, np.ndarray]:
    """The rows of ``pairs``, [P, 2], in which an image id is, ascending; of other ids, none.

    Sorted once: a search for each of many images would go through all pairs each time.
    """
    image_ids = pairs.ravel()
    order = np.argsort(image_ids, kind="stable")
    found, begin = np.unique(image_ids[order], return_index=True)
    none, *rows = np.split(order // 2, begin)
    return defaultdict(lambda: none, zip(found.tolist(), rows, strict=True))


def connected_groups(pairs: np.ndarray) -> list[np.ndarray]:
    """The image ids that pairs, [P, 2], connect, each group ascending. The largest one comes first, of equals the one
    with the smallest id."""
    if not len(pairs):
        return []
    image_ids = np.unique(pairs)
    rows = np.searchsorted(image_ids, pairs)
    graph = coo_array((np.ones(len(rows), bool), tuple(rows.T)), (len(image_ids),) * 2)
    count, of_image = connected_components(graph, directed=False)
    return sorted((image_ids[of_image == number] for number in range(count)), key=len, reverse=True)
