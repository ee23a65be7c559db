"""Pairs cut into blocks, each of few images, so that machines that share them read little.

Of an image and its neighbours most are neighbours of each other, too: their pairs are cut along the graph that they
make. Pairs of images with few neighbours in common lead far away, to whatever looks alike. They would join what has
nothing to do with each other, and have blocks of their own.
"""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from d2sfm.pairs.arrays import in_tiles

TILES = (16, 32, 64)  # images: of these, what gives the fewest that are read is taken
LEAF_IMAGES = 32  # that are not halved any more
FEW_IN_COMMON = 3  # neighbours. 2 and 4 gave as few images to read
MOST_PATHS = 100_000_000  # over three images, that are counted in any case


def pair_blocks(pairs: np.ndarray, most_pairs: int, most_images: int) -> list[np.ndarray]:
    """The pairs, [P, 2] of image ids, in blocks of at most ``most_pairs`` and ``most_images`` (2 or more); [., 2] each.

    The same pairs give the same blocks.
    """
    ids, ranks = np.unique(pairs, return_inverse=True)
    ranks = ranks.reshape(-1, 2)
    is_near = in_common(ranks, len(ids)) >= FEW_IN_COMMON
    divisions, found = [[ranks]], []
    if is_near.any() and not is_near.all():
        divisions.append([ranks[is_near], ranks[~is_near]])
    for parts in divisions:
        for order in (narrow(parts[0], len(ids)), halved(parts[0], len(ids))):
            places = np.argsort(order)
            cuts = (_best_cut(places[part], most_pairs, most_images) for part in parts)
            found.append([ids[order[block]] for cut in cuts for block in cut])
    return [np.sort(block, axis=1) for block in min(found, key=images_read)]


def images_read(blocks: list[np.ndarray]) -> int:
    """How many images all blocks have together, each counted once a block."""
    return sum(len(np.unique(block)) for block in blocks)


def narrow(ranks: np.ndarray, count: int) -> np.ndarray:
    """An order of all images in which those of a pair stand near each other: the best for what lies along a line.

    ranks: pairs of indices from 0 to count - 1, [P, 2]. Returns [N] int64.
    """
    return reverse_cuthill_mckee(_graph(ranks, count), symmetric_mode=True).astype(np.int64)


def halved(ranks: np.ndarray, count: int) -> np.ndarray:
    """The same for what lies in a plane: such an order is cut in half, and each half put into such an order again."""
    graph, waiting, found = _graph(ranks, count), [np.arange(count)], []
    while waiting:
        members = waiting.pop()
        order = members[reverse_cuthill_mckee(graph[members][:, members].tocsr(), symmetric_mode=True)]
        if len(order) <= LEAF_IMAGES:
            found.append(order)
        else:
            waiting += [order[len(order) // 2 :], order[: len(order) // 2]]
    return np.concatenate(found)


def in_common(ranks: np.ndarray, count: int) -> np.ndarray:
    """How many neighbours the images of each pair have in common, [P]; 0 if there are so many pairs that counting
    is not worth its time."""
    graph = _graph(ranks, count)
    if (np.bincount(ranks.ravel(), minlength=count).astype(float) ** 2).sum() > max(MOST_PATHS, count**2):
        return np.zeros(len(ranks))
    common = (graph @ graph).multiply(graph).tocsr()
    return np.asarray(common[ranks[:, 0], ranks[:, 1]]).ravel()


def _graph(ranks: np.ndarray, count: int) -> csr_matrix:
    both = np.concatenate([ranks, ranks[:, ::-1]])
    return csr_matrix((np.ones(len(both), np.int32), tuple(both.T)), (count, count))


def _best_cut(places: np.ndarray, most_pairs: int, most_images: int) -> list[np.ndarray]:
    places = np.sort(places, axis=1)
    cuts = (_cut(in_tiles(places, tile), most_pairs, most_images) for tile in TILES)
    return min(cuts, key=images_read)


def _cut(pairs: np.ndarray, most_pairs: int, most_images: int) -> list[np.ndarray]:
    """The pairs in their order, cut where a block would have too many."""
    cuts, images, begin = [], set(), 0
    for index, (a, b) in enumerate(pairs.tolist()):
        if len(images) + (a not in images) + (b not in images) > most_images or index - begin >= most_pairs:
            cuts.append(index)
            images, begin = set(), index
        images |= {a, b}
    return np.split(pairs, cuts)
