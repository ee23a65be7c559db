"""From the relative turns of pairs to the turn of each picture: groups that agree most are joined, then votes correct
them.

Turns are numbers of quarters, 0 to 3, clockwise.
"""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

QUARTERS = 4
MIRRORED = -np.arange(QUARTERS) % QUARTERS
# Inliers between the best and the next turn, by measurement. Of a pair that counts: pairs of different places hardly
# ever reach it. Of what is known of a picture, or of two groups of pictures: chance pairs don't reach that together.
PAIR_MARGIN = 4
SURE_MARGIN = 10


@dataclass(frozen=True)
class Solution:
    """Turns of N pictures that make them fit each other, each [N].

    quarters: int64, the turn of each picture, 0 if uncertain; margin: int64, inliers by which its neighbours prefer
    that turn to the next best; sure: bool.
    """

    quarters: np.ndarray
    margin: np.ndarray
    sure: np.ndarray


def solve(pairs: np.ndarray, inliers: np.ndarray, fixed: np.ndarray) -> Solution:
    """Turns of N pictures from the agreement of some pairs.

    pairs: [P, 2] indices of pictures, each pair once; inliers: [P, 4], of the first as it is with the second turned
    by 0 to 3 quarters; fixed: [N] bool, pictures that stay as they are.

    Pairs leave open a common turn of connected pictures: fixed pictures decide it, else it is the turn that leaves most
    pictures as they are, of several the one with the fewest quarters.
    """
    evidence = _evidence(pairs, inliers, len(fixed))
    groups = _Groups(evidence, fixed)
    groups.join()
    quarters, group = groups.quarters, groups.group
    margin = _vote(evidence, quarters, group, fixed)
    sure = fixed | (margin >= SURE_MARGIN)
    for one in np.unique(group):
        members = group == one
        known = quarters[members & fixed]  # all the same: they were joined first, and stay together
        quarters[members] += -known[0] if len(known) else _least_turning(quarters[members & sure])
    return Solution(np.where(sure, quarters % QUARTERS, 0), margin, sure)


Evidence = list[dict[int, np.ndarray]]  # of a: for each b, [4] inliers for turning b by 0 to 3 quarters more than a


def _evidence(pairs: np.ndarray, inliers: np.ndarray, count: int) -> Evidence:
    """What the clear pairs tell of each picture and its neighbours: their margin, for the best of the turns."""
    evidence = [{} for _ in range(count)]
    for (first, second), of_turns in zip(pairs.tolist(), inliers, strict=True):
        margin = _margin(of_turns)
        if margin >= PAIR_MARGIN:
            votes = np.zeros(QUARTERS, np.int64)
            votes[of_turns.argmax()] = margin
            evidence[first][second], evidence[second][first] = votes, votes[MIRRORED]
    return evidence


def _margin(votes: np.ndarray) -> int:
    *_, second, best = sorted(votes.tolist())
    return best - second


class _Groups:
    """Pictures whose turns against each other are known. Two groups are joined by all pairs across them together.

    A spanning tree would join them by their best pair, which between different places is one of chance.

    quarters: [N] int64, turns of the pictures against their group; group: [N] int64.
    """

    def __init__(self, evidence: Evidence, fixed: np.ndarray):
        self.quarters, self.group = np.zeros((2, len(fixed)), np.int64)
        self.group[:] = np.arange(len(fixed))
        self._evidence = [dict(of_picture) for of_picture in evidence]
        self._members = [[picture] for picture in range(len(fixed))]
        self._waiting = []
        first, *others = np.flatnonzero(fixed).tolist() or [None]
        for other in others:
            self._take_in(first, other, 0)
        self._waiting = [
            (-_margin(votes), a, b) for a, others in enumerate(self._evidence) for b, votes in others.items() if a < b
        ]
        heapify(self._waiting)

    def join(self) -> None:
        """Join two groups after the other, those first that are surest, until none are sure."""
        while self._waiting:
            margin, a, b = heappop(self._waiting)
            votes = self._evidence[a].get(b)
            if votes is None or -margin != _margin(votes):
                continue  # they have been joined, or know more of each other by now
            if -margin < SURE_MARGIN:
                return
            if len(self._members[a]) < len(self._members[b]):
                a, b, votes = b, a, votes[MIRRORED]
            self._take_in(a, b, int(votes.argmax()))

    def _take_in(self, a: int, b: int, quarters: int) -> None:
        """Make group b a part of group a, turned by some quarters more."""
        self.quarters[self._members[b]] += quarters
        self.group[self._members[b]] = a
        self._members[a] += self._members[b]
        of_b, self._evidence[b] = self._evidence[b], {}
        for other, votes in of_b.items():
            del self._evidence[other][b]
            if other != a:
                together = self._evidence[a].get(other, 0) + np.roll(votes, quarters)
                self._evidence[a][other], self._evidence[other][a] = together, together[MIRRORED]
                heappush(self._waiting, (-_margin(together), *sorted((a, other))))


def _vote(evidence: Evidence, quarters: np.ndarray, group: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Give each picture the group and the turn that its neighbours agree on most, in place, until nothing changes.

    Each change makes more inliers agree, so this ends. Returns margins, [N] int64: what the winner had more.
    """
    margin, changed = np.zeros(len(quarters), np.int64), True
    while changed:
        changed = False
        for picture, neighbours in enumerate(evidence):
            votes = {int(group[picture]): np.zeros(QUARTERS, np.int64)}
            for other, of_pair in neighbours.items():
                of_group = votes.setdefault(int(group[other]), np.zeros(QUARTERS, np.int64))
                of_group += np.roll(of_pair[MIRRORED], quarters[other])
            best = max(votes, key=lambda one: votes[one].max())  # its own where others have no more
            turn, current = votes[best].argmax(), votes[int(group[picture])][quarters[picture] % QUARTERS]
            margin[picture] = _margin(np.concatenate(list(votes.values())))
            if not fixed[picture] and votes[best][turn] > current:
                group[picture], quarters[picture], changed = best, turn, True
    return margin


def _least_turning(quarters: np.ndarray) -> int:
    """The common turn after which most of these pictures are as they were, at a tie the one of the fewest quarters."""
    after = (quarters + np.arange(QUARTERS)[:, None]) % QUARTERS
    moved = np.minimum(after, QUARTERS - after).sum(axis=1)
    return int(np.lexsort((moved, -(after == 0).sum(axis=1)))[0])
