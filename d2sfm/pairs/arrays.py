"""Pairs as arrays of image ids, [P, 2] uint32, the smaller id first: 8 bytes a pair, where a list of tuples takes 100.

The two million pairs of 2000 images are 16 MB.
"""

from collections.abc import Callable, Iterable

import numpy as np

from d2sfm.database.pair_ids import image_pairs, pair_ids

BLOCK_BYTES = 64 << 20  # of the scores that are held at a time
TILE_IMAGES = 32  # caches hold them as a rule, so an image is read at most once for each 32 others


def exhaustive(image_ids: Iterable[int]) -> np.ndarray:
    """Every pair (i, j) of different image ids with i < j, in ascending order, [P, 2] uint32."""
    ids = np.unique(np.fromiter(image_ids, np.uint32))
    return np.stack([ids[ranks] for ranks in np.triu_indices(len(ids), 1)], axis=1)


def unique_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The pairs of first[k] and second[k], [K] each, in either order: each once, ascending, [P, 2] uint32."""
    return image_pairs(np.unique(pair_ids(first, second)))


def union(*parts: np.ndarray) -> np.ndarray:
    """The pairs that are in any of the parts, each [., 2]: each once, ascending, [P, 2] uint32."""
    return unique_pairs(*np.concatenate(parts).T)


def nearest(
    scores: Callable[[int, int], np.ndarray], count: int, number: int, block_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``count`` things the ``number`` others with the highest scores, those of a lower index at a tie.

    scores: called with begin and end of some rows, gives their scores with all things, float [end - begin, count],
        which may be overwritten; -inf for what may not be a neighbour.
    block_rows: rows at a time (default: BLOCK_BYTES); the result does not depend on it.
    Returns indices of things and of their neighbours, [K] int64 each, both ascending; not sorted by score.
    """
    block_rows = block_rows or max(1, BLOCK_BYTES // (8 * max(count, 1)))
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for begin in range(0, count if number > 0 else 0, block_rows):
        end = min(begin + block_rows, count)
        block = scores(begin, end)
        block[np.arange(end - begin), np.arange(begin, end)] = -np.inf
        rows, columns = np.nonzero(largest(block, number))
        found.append((begin + rows, columns))
    things, neighbours = zip(*found, strict=True)
    return np.concatenate(things), np.concatenate(neighbours)


def largest(block: np.ndarray, number: int) -> np.ndarray:
    """Which entries are among the ``number`` largest of their row, the first ones of equal entries; never -inf."""
    if number >= block.shape[1]:
        return block > -np.inf
    least = np.partition(block, -number, axis=1)[:, -number, None]
    larger, equal = block > least, block == least
    room = number - larger.sum(axis=1, keepdims=True)
    return (larger | (equal & (np.cumsum(equal, axis=1) <= room))) & (block > -np.inf)


def in_tiles(pairs: np.ndarray, tile: int = TILE_IMAGES) -> np.ndarray:
    """The pairs in an order in which ``tile + 2`` images at a time cover many of them, [P, 2] uint32.

    The images are taken ``tile`` at a time, and with these each other image in turn: it comes with all its partners
    among them, one pair after the other, and is then not needed again until the next tile.
    """
    ranks = np.searchsorted(np.unique(pairs), pairs)
    return pairs[np.lexsort((ranks[:, 0], ranks[:, 1], ranks[:, 0] // tile))]


def among(pairs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the pairs, [P, 2], are among some others, numbers (see ``pair_ids``) in ascending order; [P] bool."""
    ids = pair_ids(*pairs.T)
    places = np.searchsorted(others, ids)
    found = places < len(others)
    found[found] = others[places[found]] == ids[found]
    return found
