"""Tracks: sets of keypoints, at most one of each image, that show the same point of the scene.

Keypoints of all images are numbered through; such a number is a *node*, a verified match of two nodes an *edge*.
"""

from array import array
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

EDGES_AT_ONCE = 1 << 16  # as Python's integers, which take several times the memory


class Edges(NamedTuple):
    """Matches of nodes a and b with their weights (cosine of descriptors): [E] int, [E] int, [E] float."""

    a: np.ndarray
    b: np.ndarray
    weight: np.ndarray


class Tracks(NamedTuple):
    """Tracks of two nodes or more, numbered from 0."""

    of_node: np.ndarray  # [N] int64: number of the node's track, -1 for none
    reference: np.ndarray  # [T] int64: the node of each track that all others are aligned with

    def observations(self) -> np.ndarray:
        """The nodes that are to be aligned, ascending: those in tracks, without the references."""
        nodes = np.flatnonzero(self.of_node >= 0)
        return nodes[self.reference[self.of_node[nodes]] != nodes]

    def only(self, chosen: np.ndarray) -> "Tracks":
        """The chosen ones, [T] bool, by their numbers: nodes of the others are in none."""
        is_chosen = np.append(chosen, False)[self.of_node]
        return self._replace(of_node=np.where(is_chosen, self.of_node, -1))


def build_tracks(image_of_node: np.ndarray, edges: Edges, standing: np.ndarray | None = None) -> Tracks:
    """Tracks by Kruskal's algorithm: edges in descending order of weight (ties in their own order) join components,
    except where both have a node of the same image.

    image_of_node: [N] int. The reference of a track is the node with the largest sum of weights of its edges inside the
    track (ties: the lowest node), not that of the highest response: it is the one that looks most like the others.

    standing: [N] int, of nodes that are not to be moved above 0. Edges between these join before all others, and the
    reference of a track is one of its nodes that stand highest (default: all are 0).
    """
    if standing is None:
        standing = np.zeros(len(image_of_node), np.int64)
    component = _components(len(image_of_node), edges)
    divided = _hold_an_image_twice(component, image_of_node)[component]
    if divided.any():
        component[divided] = component.max() + 1 + _joined(image_of_node, edges, divided, standing > 0)
    # A node without edges, or whose edges were all dropped, is a component of its own, and no track.
    of_node = np.full(len(image_of_node), -1, np.int64)
    in_track = np.bincount(component)[component] >= 2
    of_node[in_track] = np.unique(component[in_track], return_inverse=True)[1]
    return Tracks(of_node, _references(of_node, edges, standing))


def _components(count: int, edges: Edges) -> np.ndarray:
    """What all edges together join: [N] number of each node's component."""
    graph = coo_array((np.ones(len(edges.a), bool), (edges.a, edges.b)), (count, count))
    return connected_components(graph, directed=False)[1]


def _hold_an_image_twice(component: np.ndarray, image_of_node: np.ndarray) -> np.ndarray:
    """Which components have several nodes of an image: [C] bool."""
    found = np.zeros(component.max(initial=-1) + 1, bool)
    order = np.lexsort((image_of_node, component))
    same = (np.diff(component[order]) == 0) & (np.diff(image_of_node[order]) == 0)
    found[component[order[1:][same]]] = True
    return found


def _joined(image_of_node: np.ndarray, edges: Edges, divided: np.ndarray, stands: np.ndarray) -> np.ndarray:
    """Kruskal's algorithm on the nodes for which divided is set, [N] bool: one of the nodes that each one is joined to,
    by its number among these. stands: [N] bool, edges between these first."""
    number = np.cumsum(divided) - 1
    parent = array("q", range(number[-1] + 1))
    alone = [1 << image for image in range(image_of_node.max() + 1)]
    images = [alone[image] for image in image_of_node[divided].tolist()]  # sets of them, as bits, by root

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    rows = np.flatnonzero(divided[edges.a])
    rows = rows[np.lexsort((-edges.weight[rows], ~(stands[edges.a[rows]] & stands[edges.b[rows]])))]
    for begin in range(0, len(rows), EDGES_AT_ONCE):
        some = rows[begin : begin + EDGES_AT_ONCE]
        for a, b in zip(number[edges.a[some]].tolist(), number[edges.b[some]].tolist(), strict=True):
            a, b = root(a), root(b)
            if a == b or images[a] & images[b]:
                continue
            if images[a].bit_count() < images[b].bit_count():
                a, b = b, a
            parent[b] = a
            images[a] |= images[b]
            images[b] = 0
    return np.array([root(node) for node in range(len(parent))])


def inside_tracks(of_node: np.ndarray, edges: Edges) -> np.ndarray:
    """Which edges join two nodes of one track: [E] bool."""
    return (of_node[edges.a] >= 0) & (of_node[edges.a] == of_node[edges.b])


def _references(of_node: np.ndarray, edges: Edges, standing: np.ndarray) -> np.ndarray:
    keep = inside_tracks(of_node, edges)
    weights = np.zeros(len(of_node))
    for ends in (edges.a, edges.b):
        np.add.at(weights, ends[keep], edges.weight[keep])
    nodes = np.flatnonzero(of_node >= 0)
    nodes = nodes[np.lexsort((nodes, -weights[nodes], -standing[nodes], of_node[nodes]))]
    _, first = np.unique(of_node[nodes], return_index=True)
    return nodes[first]


def warps_from_reference(tracks: Tracks, edges: Edges, warps: np.ndarray) -> np.ndarray:
    """How the surroundings of each track's reference look at each of its nodes, [N, 2, 2]; identity outside of tracks.

    warps: [E, 2, 2], b_from_a of each edge (offsets x, y). Along the fewest edges from the reference; of several
    edges from one step to the next, that of the largest weight.
    """
    edge = np.flatnonzero(inside_tracks(tracks.of_node, edges))
    begin, end = np.concatenate([edges.a[edge], edges.b[edge]]), np.concatenate([edges.b[edge], edges.a[edge]])
    backwards, edge = np.repeat([False, True], len(edge)), np.tile(edge, 2)
    from_reference = np.tile(np.eye(2, dtype=warps.dtype), (len(tracks.of_node), 1, 1))
    reached = np.zeros(len(tracks.of_node), bool)
    reached[tracks.reference] = True
    while True:
        left = ~reached[end]
        begin, end, backwards, edge = begin[left], end[left], backwards[left], edge[left]
        ready = np.flatnonzero(reached[begin])
        if not len(ready):
            return from_reference
        ready = ready[np.lexsort((begin[ready], -edges.weight[edge[ready]], end[ready]))]
        _, first = np.unique(end[ready], return_index=True)
        ready = ready[first]
        steps = warps[edge[ready]]
        steps[backwards[ready]] = np.linalg.inv(steps[backwards[ready]])
        from_reference[end[ready]] = steps @ from_reference[begin[ready]]
        reached[end[ready]] = True
