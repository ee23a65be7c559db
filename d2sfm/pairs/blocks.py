"""Pairs cut into blocks, each of few images, so that machines that share them read little."""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from d2sfm.pairs.arrays import in_tiles

TILES = (8, 16, 32, 64, 128, 256, 512)  # images; the one for which fewest are read is taken


def pair_blocks(pairs: np.ndarray, most_pairs: int, most_images: int) -> list[np.ndarray]:
    """The pairs, [P, 2], in blocks of at most so many pairs and images, [., 2] each.

    most_images: 2 or more. The same pairs give the same blocks.
    """
    order, ranks = np.unique(pairs, return_inverse=True)
    ranks = ranks.reshape(-1, 2)
    order = order[places := near_each_other(ranks, len(order))]
    ranks = np.sort(np.argsort(places)[ranks], axis=1)
    cuts = [_cut(in_tiles(ranks, tile), most_pairs, most_images) for tile in TILES if 2 * tile <= max(most_images, 16)]
    return [np.sort(order[block], axis=1) for block in min(cuts, key=images_read)]


def images_read(blocks: list[np.ndarray]) -> int:
    """How many images all blocks together have, each counted once a block."""
    return sum(len(np.unique(block)) for block in blocks)


def near_each_other(ranks: np.ndarray, count: int) -> np.ndarray:
    """An order, [N] int64, in which images that have pairs with each other stand near each other.

    ranks: pairs of indices from 0 to count - 1, [P, 2].
    """
    graph = csr_matrix((np.ones(len(ranks), bool), tuple(ranks.T)), (count, count))
    return reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True).astype(np.int64)


def _cut(pairs: np.ndarray, most_pairs: int, most_images: int) -> list[np.ndarray]:
    """The pairs in their order, cut where a block would have too many."""
    starts, images, begin = [0], set(), 0
    for index, pair in enumerate(pairs.tolist()):
        grown = images.union(pair)
        if len(grown) > most_images or index - begin >= most_pairs:
            starts.append(index)
            grown, begin = set(pair), index
        images = grown
    return np.split(pairs, starts[1:])
