"""Tracks: sets of keypoints, at most one of each image, that show the same point of the scene.

Keypoints of all images are numbered through; such a number is a *node*, a verified match of two nodes an *edge*.
"""

from typing import NamedTuple

import numpy as np


class Edges(NamedTuple):
    """Matches of nodes a and b with their weights (cosine of descriptors): [E] int64, [E] int64, [E] float."""

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


def build_tracks(image_of_node: np.ndarray, edges: Edges) -> Tracks:
    """Tracks by Kruskal's algorithm: edges in descending order of weight (ties in their own order) join components,
    except where both have a node of the same image.

    image_of_node: [N] int. The reference of a track is the node with the largest sum of weights of its edges inside the
    track (ties: the lowest node), not that of the highest response: it is the one that looks most like the others.
    """
    parent = np.arange(len(image_of_node)).tolist()
    members: dict[int, set[int]] = {}  # images of components of two nodes and more, by root

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    image_of = image_of_node.tolist()
    order = np.argsort(-edges.weight, kind="stable")
    for a, b in zip(edges.a[order].tolist(), edges.b[order].tolist(), strict=True):
        a, b = root(a), root(b)
        if a == b:
            continue
        images_a, images_b = members.get(a) or {image_of[a]}, members.get(b) or {image_of[b]}
        if not images_a.isdisjoint(images_b):
            continue
        if len(images_a) < len(images_b):
            a, b, images_a, images_b = b, a, images_b, images_a
        parent[b] = a
        images_a |= images_b
        members[a] = images_a
        members.pop(b, None)
    in_track = np.unique(np.concatenate([edges.a, edges.b]).astype(np.int64))
    roots = np.array([root(node) for node in in_track.tolist()], np.int64)
    found, numbers = np.unique(roots, return_inverse=True)
    of_node = np.full(len(image_of_node), -1, np.int64)
    of_node[in_track] = numbers
    # A node whose edges were all dropped is a component of its own, and no track.
    sizes = np.bincount(numbers, minlength=len(found))
    renumbered = np.where(sizes >= 2, np.cumsum(sizes >= 2) - 1, -1)
    of_node[in_track] = renumbered[numbers]
    return Tracks(of_node, _references(of_node, edges))


def inside_tracks(of_node: np.ndarray, edges: Edges) -> np.ndarray:
    """Which edges join two nodes of one track: [E] bool."""
    return (of_node[edges.a] >= 0) & (of_node[edges.a] == of_node[edges.b])


def _references(of_node: np.ndarray, edges: Edges) -> np.ndarray:
    keep = inside_tracks(of_node, edges)
    weights = np.zeros(len(of_node))
    for ends in (edges.a, edges.b):
        np.add.at(weights, ends[keep], edges.weight[keep])
    nodes = np.flatnonzero(of_node >= 0)
    nodes = nodes[np.lexsort((nodes, -weights[nodes], of_node[nodes]))]
    _, first = np.unique(of_node[nodes], return_index=True)
    return nodes[first]


def warps_from_reference(tracks: Tracks, edges: Edges, warps: np.ndarray) -> np.ndarray:
    """How the surroundings of each track's reference look at each of its nodes, [N, 2, 2]; identity outside of tracks.

    warps: [E, 2, 2], b_from_a of each edge (offsets x, y). Along the fewest edges from the reference; of several
    edges from one step to the next, that of the largest weight.
    """
    keep = inside_tracks(tracks.of_node, edges)
    weight = np.tile(edges.weight[keep], 2)
    begin, end = np.concatenate([edges.a[keep], edges.b[keep]]), np.concatenate([edges.b[keep], edges.a[keep]])
    steps = np.concatenate([warps[keep], np.linalg.inv(warps[keep])])
    from_reference = np.tile(np.eye(2), (len(tracks.of_node), 1, 1))
    reached = np.zeros(len(tracks.of_node), bool)
    reached[tracks.reference] = True
    while True:
        ready = np.flatnonzero(reached[begin] & ~reached[end])
        if not len(ready):
            return from_reference
        ready = ready[np.lexsort((begin[ready], -weight[ready], end[ready]))]
        _, first = np.unique(end[ready], return_index=True)
        ready = ready[first]
        from_reference[end[ready]] = steps[ready] @ from_reference[begin[ready]]
        reached[end[ready]] = True
