"""Pairs of photographs that were taken one after the other, and where the camera came back to a place."""

import numpy as np
from scipy.ndimage import maximum_filter1d

from d2sfm.pairs.arrays import nearest, unique_pairs
from d2sfm.pairs.retrieval import similarities


def sequential(image_ids: np.ndarray, overlap: int) -> np.ndarray:
    """Pairs of images up to ``overlap`` places apart, and of those 1, 2, 4, ..., 2^(overlap - 1) places apart.

    COLMAP's sequential matcher makes either, or both, by its version: the near ones carry the track, the far ones hold
    the drift. image_ids: [N] in the order of the sequence. Returns [P, 2] uint32, ascending.
    """
    count = len(image_ids)
    doubled = (1 << power for power in range(min(overlap, count.bit_length())))
    gaps = {gap for gap in (*range(1, min(overlap, count) + 1), *doubled) if gap < count}
    first = np.concatenate([np.arange(count - gap) for gap in gaps] or [np.zeros(0, int)])
    second = np.concatenate([np.arange(gap, count) for gap in gaps] or [np.zeros(0, int)])
    return unique_pairs(image_ids[first], image_ids[second])


def loop_candidates(image_ids: np.ndarray, descriptors: np.ndarray, overlap: int, number: int) -> np.ndarray:
    """Pairs of each image with the ``number`` most similar ones among those that stand out in the sequence.

    An image stands out where none within ``overlap`` places of it is more similar: of each visit to a place only the
    best counts, and what lies next to the image itself, which is as similar as it is useless, does not.
    descriptors: [N, D] of unit length, float16 or float32, in the order of the sequence. Returns [P, 2] uint32,
    ascending.
    """
    score = similarities(descriptors)

    def peaks(begin: int, end: int) -> np.ndarray:
        block = score(begin, end)
        block[np.arange(end - begin), np.arange(begin, end)] = np.inf  # rounding: nothing is above the image itself
        highest = maximum_filter1d(block, 2 * overlap + 1, axis=1, mode="nearest")
        return np.where(block == highest, block, -np.inf)

    first, second = nearest(peaks, len(image_ids), number)
    return unique_pairs(image_ids[first], image_ids[second])
