"""From the relative turns of pairs to the turn of each picture: a spanning forest, then votes until nothing changes.

Turns are numbers of quarters, 0 to 3, clockwise.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

QUARTERS = 4
MIN_MARGIN = 10  # inliers between the best and the next turn, of a pair that counts and of a picture that is sure


@dataclass(frozen=True)
class Solution:
    """Turns of N pictures that make them fit each other, each [N].

    quarters: int64, by how many the picture is to be turned, 0 where it is not sure; margin: int64, inliers by which
    its neighbours agree more on that turn than on the next; sure: bool.
    """

    quarters: np.ndarray
    margin: np.ndarray
    sure: np.ndarray


@dataclass(frozen=True)
class _Relations:
    """Pairs that are clear, each from both sides: quarters of picture ``to`` are those of ``of`` plus ``turn``.

    Sorted by ``to``: those of picture i are start[i] to start[i + 1].
    """

    of: np.ndarray
    to: np.ndarray
    turn: np.ndarray
    weight: np.ndarray
    start: np.ndarray


def solve(pairs: np.ndarray, inliers: np.ndarray, fixed: np.ndarray, min_margin: int = MIN_MARGIN) -> Solution:
    """Turns of N pictures from the agreement of some pairs.

    pairs: [P, 2] indices of pictures, each pair once; inliers: [P, 4], of the first as it is with the second turned
    by 0 to 3 quarters; fixed: [N] bool, pictures that stay as they are.

    Pictures that hang together have one turn in common that pairs do not tell: the fixed ones among them tell it, else
    it is the one that leaves most pictures as they are, and of several the one of the fewest quarters.
    """
    relations = _relations(pairs, inliers, len(fixed), min_margin)
    quarters, component = _along_forest(relations, fixed)
    margin = _vote(relations, quarters, fixed)
    sure = fixed | (margin >= min_margin)
    for one in range(component.max(initial=-1) + 1):
        members = component == one
        if not (members & fixed).any():
            quarters[members] += _least_turning(quarters[members & sure])
    return Solution(np.where(sure, quarters % QUARTERS, 0), margin, sure)


def _relations(pairs: np.ndarray, inliers: np.ndarray, count: int, min_margin: int) -> _Relations:
    least_first = np.sort(inliers, axis=1)
    margin = least_first[:, -1] - least_first[:, -2]
    clear = margin >= min_margin
    first, second = pairs[clear].astype(np.int64).T
    turn = inliers[clear].argmax(axis=1)
    to = np.concatenate([first, second])
    order = np.argsort(to, kind="stable")
    return _Relations(
        of=np.concatenate([second, first])[order],
        to=to[order],
        turn=np.concatenate([-turn, turn])[order],
        weight=np.tile(margin[clear], 2)[order],
        start=np.searchsorted(to[order], np.arange(count + 1)),
    )


def _along_forest(relations: _Relations, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quarters of each picture along the pairs of the largest margins, and its component, both [N].

    One more node is a neighbour of all fixed pictures, so that they are in one tree and none is turned.
    """
    count = len(fixed)
    anchors = np.flatnonzero(fixed)
    strongest = relations.weight.max(initial=0) + 1
    graph = coo_matrix(
        (
            -np.concatenate([relations.weight, np.full(len(anchors), strongest)]).astype(float),
            (np.concatenate([relations.of, np.full(len(anchors), count)]), np.concatenate([relations.to, anchors])),
        ),
        (count + 1, count + 1),
    )
    forest = minimum_spanning_tree(graph)
    _, component = connected_components(forest, directed=False)
    turns = dict(zip(zip(relations.of.tolist(), relations.to.tolist(), strict=True), relations.turn, strict=True))
    quarters = np.zeros(count + 1, np.int64)
    _, roots = np.unique(component[::-1], return_index=True)  # of a component's nodes the last: of fixed ones, the node
    for root in count - roots:
        nodes, before = breadth_first_order(forest, root, directed=False)
        for node in nodes[1:]:
            quarters[node] = quarters[before[node]] + turns.get((before[node], node), 0)
    return quarters[:count], component[:count]


def _vote(relations: _Relations, quarters: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Give each picture the turn that its neighbours agree on most, in place, until nothing changes.

    Each change makes more inliers agree, so this ends. Returns margins, [N] int64: what the winner had more.
    """
    margin, changed = np.zeros(len(quarters), np.int64), True
    while changed:
        changed = False
        for picture in range(len(quarters)):
            own = slice(relations.start[picture], relations.start[picture + 1])
            voted = (quarters[relations.of[own]] + relations.turn[own]) % QUARTERS
            votes = np.bincount(voted, relations.weight[own], QUARTERS).astype(np.int64)
            best, current = votes.argmax(), quarters[picture] % QUARTERS
            margin[picture] = votes[best] - np.delete(votes, best).max()
            if not fixed[picture] and votes[best] > votes[current]:
                quarters[picture], changed = best, True
    return margin


def _least_turning(quarters: np.ndarray) -> int:
    """The common turn after which most of these pictures are as they were, at a tie the one of the fewest quarters."""
    after = (quarters + np.arange(QUARTERS)[:, None]) % QUARTERS
    moved = np.minimum(after, QUARTERS - after).sum(axis=1)
    return int(np.lexsort((moved, -(after == 0).sum(axis=1)))[0])
