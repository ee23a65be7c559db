"""COLMAP's number of a pair of images, 8 bytes where a tuple of two ids takes 100: two million pairs are 16 MB."""

import numpy as np

MAX_IMAGES = 2147483647  # pair_id is MAX_IMAGES * smaller image_id + larger image_id


def pair_ids(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The numbers of the pairs of first[k] and second[k], which may be in either order, [K] int64; they sort as pairs
    do."""
    first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
    return MAX_IMAGES * np.minimum(first, second) + np.maximum(first, second)


def image_pairs(ids: np.ndarray) -> np.ndarray:
    """The pairs of image ids of these numbers, the smaller id first, [K, 2] uint32."""
    return np.stack(np.divmod(np.asarray(ids, np.int64), MAX_IMAGES), axis=1).astype(np.uint32)
