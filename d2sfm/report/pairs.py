"""The pairs of photographs: which agree, and where a collection is weakly connected."""

import heapq
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

BRIDGES = 3  # pairs that are named


class Pairs(NamedTuple):
    """Pairs that were matched, by rows of photographs, a < b."""

    a: np.ndarray  # [P] int64
    b: np.ndarray  # [P] int64
    matches: np.ndarray  # [P] int64
    verified: np.ndarray  # [P] int64: inliers of the two-view geometry; 0 where it has none, or chance explains it
    refused: dict[int, str]  # why not, in words, by row of a pair; as kept when it was verified

    @property
    def is_verified(self) -> np.ndarray:
        """[P] bool."""
        return self.verified > 0

    def grouped(self, count: int) -> list[int]:
        """Rows of ``count`` photographs in an order that puts those that share much next to each other."""
        if not self.is_verified.any():
            return list(range(count))
        weight = np.sqrt(self.verified[self.is_verified].astype(float))
        ends = self.a[self.is_verified], self.b[self.is_verified]
        tree = minimum_spanning_tree(coo_array((1 / weight, ends), shape=(count, count)).tocsr())
        return _strongest_first(tree.tocoo(), count)


class Joint(NamedTuple):
    """Two groups of photographs with weaker connections between than within them."""

    smaller: list[int]  # rows of photographs
    larger: list[int]
    pairs: int  # verified ones between the two
    matches: int  # of these
    share: float  # of the matches of the smaller group; a collection that holds well has no joint of a small share
    bridges: list[tuple[int, int, int]]  # photograph of the smaller group, of the larger, matches; most first


def weakest_joint(pairs: Pairs) -> Joint | None:
    """The weakest connection: the cut of the tree of strongest pairs with the smallest share.

    Of the largest connected part. None without such a cut with two or more photographs on either side.
    """
    keep = pairs.is_verified
    a, b, weight = pairs.a[keep], pairs.b[keep], pairs.verified[keep].astype(float)
    if not len(a):
        return None
    count = int(max(a.max(), b.max())) + 1
    # The tree of largest weights: minimal costs, all of them positive.
    tree = minimum_spanning_tree(coo_array((1 / weight, (a, b)), shape=(count, count)).tocsr())
    part = connected_components(tree, directed=False)[1]
    inside = part[a] == np.bincount(part).argmax()
    a, b, weight = a[inside], b[inside], weight[inside]
    order, parent = breadth_first_order(tree, int(a[np.argmax(weight)]), directed=False)
    children = {int(row): int(parent[row]) for row in order[1:]}
    below = {int(row): [int(row)] for row in order}
    for row in reversed(order[1:].tolist()):
        below[children[row]] += below[row]
    found = [_cut(below[row], order, a, b, weight) for row in children if 2 <= len(below[row]) <= len(order) - 2]
    return min(found, key=lambda joint: joint.share, default=None)


def _cut(group: list[int], all_rows: np.ndarray, a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> Joint:
    others = np.setdiff1d(all_rows, group)
    group_rows = np.array(group)
    smaller, larger = sorted((group_rows, others), key=len)
    is_smaller = np.zeros(max(a.max(), b.max(), all_rows.max()) + 1, bool)
    is_smaller[smaller] = True
    across = is_smaller[a] != is_smaller[b]
    of_smaller = weight[is_smaller[a] | is_smaller[b]].sum()
    of_larger = weight[~is_smaller[a] | ~is_smaller[b]].sum()
    best = np.flatnonzero(across)[np.argsort(-weight[across], kind="stable")][:BRIDGES]
    ends = [(int(a[k]), int(b[k])) if is_smaller[a[k]] else (int(b[k]), int(a[k])) for k in best]
    return Joint(
        smaller=sorted(smaller.tolist()),
        larger=sorted(larger.tolist()),
        pairs=int(across.sum()),
        matches=int(weight[across].sum()),
        share=float(weight[across].sum() / min(of_smaller, of_larger)),
        bridges=[(*end, int(weight[k])) for end, k in zip(ends, best, strict=True)],
    )


def _strongest_first(tree: coo_array, count: int) -> list[int]:
    """Rows of a forest in the order of their strongest connection to an earlier row."""
    neighbours: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    for cost, a, b in zip(tree.data.tolist(), *(each.tolist() for each in tree.coords), strict=True):
        neighbours[a].append((cost, b))
        neighbours[b].append((cost, a))
    order, seen = [], set()
    for start in range(count):
        waiting = [(0.0, start)]
        while waiting:
            _, row = heapq.heappop(waiting)
            if row not in seen:
                seen.add(row)
                order.append(row)
                for each in neighbours[row]:
                    heapq.heappush(waiting, each)
    return order
