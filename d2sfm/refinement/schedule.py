"""The order in which images are visited, so that few of their maps are computed and few patches wait.

The patches of a track's reference wait for the track's other images. Sweeps go to and fro along an order of the images
in which those that share matches are near each other: a sweep finds every image with a reference before the later
images of its tracks, and the next one, backwards, the earlier ones. Without room, tracks wait for later sweeps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array

from d2sfm.refinement.collection import Collection
from d2sfm.refinement.tracks import Tracks

MOST_TRACKS = 70_000  # whose patches wait at a time: 3.9 GB
PART_NODES, PART_VISITS = 50_000, 50  # what is done again of a run that is stopped: a minute


class Visit(NamedTuple):
    """What is done with an image's maps: nodes are aligned, then patches of references are taken in."""

    image: int
    nodes: np.ndarray  # [M] ascending
    slots: np.ndarray  # [M] where the patches of their references wait
    references: np.ndarray  # [R] nodes, ascending
    reference_slots: np.ndarray  # [R] where their patches are put


@dataclass(frozen=True)
class Part:
    """Some visits, one after the other."""

    visits: list[Visit]

    @cached_property
    def nodes(self) -> np.ndarray:
        """All nodes that are aligned, in order of the visits."""
        return np.concatenate([np.zeros(0, np.int64), *(visit.nodes for visit in self.visits)])


class Schedule(NamedTuple):
    """All visits, in parts that build on each other, and how many slots these use."""

    parts: list[Part]
    slots: int

    @property
    def nodes(self) -> np.ndarray:
        """All nodes that are aligned, in order of the visits."""
        return np.concatenate([np.zeros(0, np.int64), *(part.nodes for part in self.parts)])


def schedule(
    collection: Collection,
    tracks: Tracks,
    done: np.ndarray | None = None,
    *,
    most_tracks: int = MOST_TRACKS,
    part_nodes: int = PART_NODES,
) -> Schedule:
    """Visits that align every node of the tracks but the references, and those that are done already (nodes)."""
    order = image_order(collection)
    sweeps = _Sweeps(collection, tracks, most_tracks)
    if done is not None:
        sweeps.pending[done] = False
    parts, visits, nodes = [], [], 0
    while sweeps.pending.any():
        for visit in sweeps.sweep(order):
            visits.append(visit)
            nodes += len(visit.nodes)
            if nodes >= part_nodes or len(visits) >= PART_VISITS:
                parts.append(Part(visits))
                visits, nodes = [], 0
        order = order[::-1]
    return Schedule([*parts, Part(visits)] if visits else parts, sweeps.used)


class _Sweeps:
    """Nodes that are still to be aligned, and sweeps that do so."""

    def __init__(self, collection: Collection, tracks: Tracks, most_tracks: int):
        observations = tracks.observations()
        self.pending = np.zeros(len(tracks.of_node), bool)
        self.pending[observations] = True
        self.used = 0  # slots
        self._most = most_tracks
        self._first, self._image_of_node = collection.first_node, collection.image_of_node
        self._track_of = tracks.of_node
        self._references = np.sort(tracks.reference[tracks.of_node[tracks.reference] >= 0])
        self._by_track = observations[np.argsort(tracks.of_node[observations], kind="stable")]
        counts = np.bincount(tracks.of_node[observations], minlength=len(tracks.reference))
        self._begin = np.concatenate([[0], np.cumsum(counts)])

    def sweep(self, order: np.ndarray) -> Iterator[Visit]:
        """Visits in that order of the images, of those alone where there is something to do."""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        slot_of_track = np.full(len(self._begin) - 1, -1)
        last = np.full(min(self._most, len(self._begin) - 1), -1)  # place that each slot is kept for, -1 for free ones
        for here, image in enumerate(order.tolist()):
            begin, end = self._first[image : image + 2]
            nodes = begin + np.flatnonzero(self.pending[begin:end])
            slots = slot_of_track[self._track_of[nodes]]
            nodes, slots = nodes[slots >= 0], slots[slots >= 0]
            self.pending[nodes] = False
            last[last <= here] = -1
            begin, end = np.searchsorted(self._references, (begin, end))
            references = self._references[begin:end]
            until = self._last_places(self._track_of[references], place)
            # Those that wait for the fewest images first: so most tracks find room.
            some = np.flatnonzero(until > here)
            free = np.flatnonzero(last < 0)
            some = np.sort(some[np.argsort(until[some], kind="stable")][: len(free)])
            free = free[: len(some)].copy()  # a view would keep all of it
            slot_of_track[self._track_of[references[some]]] = free
            last[free] = until[some]
            self.used = max(self.used, 1 + free.max(initial=-1))
            if len(nodes) or len(some):
                yield Visit(image, nodes, slots, references[some], free)

    def _last_places(self, tracks: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The last place of a pending node of each track, -1 if there is none."""
        begin = self._begin[tracks]
        counts = self._begin[tracks + 1] - begin
        row = np.repeat(np.arange(len(tracks)), counts)
        nodes = self._by_track[np.arange(len(row)) + np.repeat(begin - np.cumsum(counts) + counts, counts)]
        row, nodes = row[self.pending[nodes]], nodes[self.pending[nodes]]
        found = np.full(len(tracks), -1)
        np.maximum.at(found, row, place[self._image_of_node[nodes]])
        return found


def share_of_tracks(collection: Collection, tracks: Tracks, nodes: np.ndarray, of: int) -> np.ndarray:
    """Which of ``of`` shares each track belongs to, [T] from 0.

    A track goes with the image of its reference. Shares are runs of the images in their order, so that few maps are
    computed for two shares, with about as many of the nodes that are aligned in each.
    """
    image_of_track = collection.image_of_node[tracks.reference]
    order = image_order(collection)
    counts = np.bincount(image_of_track[tracks.of_node[nodes]], minlength=len(order))[order]
    middle = 2 * np.cumsum(counts) - counts
    share = np.empty(len(order), np.int64)
    share[order] = np.minimum(middle * of // max(2 * len(nodes), 1), of - 1)
    return share[image_of_track]


def image_order(collection: Collection) -> np.ndarray:
    """All images, [I], such that those with many matches between them are near each other.

    From an image at the border on, the next one is always that with most matches to those before, less those to images
    that are still to come. Unlike orders by the graph alone, as reverse Cuthill-McKee, a few wrong pairs do no harm.
    """
    links = _links(collection)
    total, linked = links.sum(axis=1), np.zeros(links.shape[0])
    left, order = np.ones(links.shape[0], bool), []
    image = int(total.argmin()) if len(total) else 0
    while left.any():
        order.append(image)
        left[image] = False
        row = slice(links.indptr[image], links.indptr[image + 1])
        linked[links.indices[row]] += links.data[row]
        image = int(np.where(left, 2 * linked - total, -np.inf).argmax()) if left.any() else -1
    return np.array(order, np.int64)


def _links(collection: Collection) -> csr_array:
    """Numbers of matches between images, [I, I]."""
    count = len(collection.images)
    a, b = (collection.image_of_node[ends] for ends in (collection.edges.a, collection.edges.b))
    pairs, matches = np.unique(a * count + b, return_counts=True)
    half = coo_array((matches.astype(np.float64), (pairs // max(count, 1), pairs % max(count, 1))), (count, count))
    return csr_array(half + half.T)
