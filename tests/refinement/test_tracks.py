"""Tracks against a plain twin that keeps sets of nodes, and warps carried along them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.refinement.tracks import Edges, build_tracks, inside_tracks, warps_from_reference


def edges_of(*rows):
    """Edges from rows (a, b, weight)."""
    a, b, weight = zip(*rows, strict=True) if rows else ((), (), ())
    return Edges(np.array(a, np.int64), np.array(b, np.int64), np.array(weight, np.float64))


@st.composite
def graphs(draw):
    """Images of nodes and edges between nodes of two images; weights are eighths, so that sums are exact and tie."""
    image_of_node = np.array(draw(st.lists(st.integers(0, 4), min_size=1, max_size=14)))
    node = st.integers(0, len(image_of_node) - 1)
    rows = draw(st.lists(st.tuples(node, node, st.integers(1, 8)), max_size=30))
    return image_of_node, edges_of(*((a, b, w / 8) for a, b, w in rows if image_of_node[a] != image_of_node[b]))


def plain_tracks(image_of_node, edges):
    """Sets of nodes with their reference, by the rule said without union-find."""
    sets = [{node} for node in range(len(image_of_node))]
    rows = list(zip(edges.a.tolist(), edges.b.tolist(), edges.weight.tolist(), strict=True))
    for a, b, _ in sorted(rows, key=lambda row: -row[2]):
        [of_a], [of_b] = ([found for found in sets if node in found] for node in (a, b))
        images = [image_of_node[node] for node in of_a | of_b]
        if of_a is not of_b and len(set(images)) == len(images):
            sets = [found for found in sets if found is not of_a and found is not of_b] + [of_a | of_b]
    tracks = {}
    for nodes in sets:
        inside = [row for row in rows if row[0] in nodes and row[1] in nodes]
        if len(nodes) > 1:
            sums = {node: sum(weight for a, b, weight in inside if node in (a, b)) for node in nodes}
            tracks[frozenset(nodes)] = min(nodes, key=lambda node: (-sums[node], node))
    return tracks


def as_sets(tracks):
    return {
        frozenset(np.flatnonzero(tracks.of_node == number).tolist()): reference
        for number, reference in enumerate(tracks.reference.tolist())
    }


@given(graphs())
def test_tracks_and_references_are_those_of_the_plain_twin(graph):
    tracks = build_tracks(*graph)
    assert as_sets(tracks) == plain_tracks(*graph)
    assert tracks.of_node.dtype == tracks.reference.dtype == np.int64


@given(graphs())
def test_a_track_has_no_two_nodes_of_one_image(graph):
    image_of_node, _ = graph
    tracks = build_tracks(*graph)
    for number in range(len(tracks.reference)):
        images = image_of_node[tracks.of_node == number]
        assert len(images) >= 2
        assert len(set(images.tolist())) == len(images)
    assert set(tracks.of_node.tolist()) - {-1} == set(range(len(tracks.reference)))


@given(graphs())
def test_observations_are_all_nodes_of_tracks_but_the_references(graph):
    tracks = build_tracks(*graph)
    in_tracks = [node for node, number in enumerate(tracks.of_node) if number >= 0]
    assert tracks.observations().tolist() == [node for node in in_tracks if node not in tracks.reference]


def test_the_strongest_edges_win_and_those_against_them_are_dropped():
    # Nodes 0 and 3 are of one image: the chain 0-1-2-3 breaks where it is weakest.
    image_of_node = np.array([0, 1, 2, 0])
    tracks = build_tracks(image_of_node, edges_of((0, 1, 0.9), (1, 2, 0.6), (2, 3, 0.8)))
    assert as_sets(tracks).keys() == {frozenset({0, 1}), frozenset({2, 3})}
    assert inside_tracks(tracks.of_node, edges_of((0, 1, 1), (1, 2, 1), (3, 2, 1))).tolist() == [True, False, True]


def test_of_equal_edges_the_first_wins():
    image_of_node = np.array([0, 1, 0])
    for rows, expected in (([(0, 1), (1, 2)], {0, 1}), ([(1, 2), (0, 1)], {1, 2})):
        tracks = build_tracks(image_of_node, edges_of(*((a, b, 0.5) for a, b in rows)))
        assert as_sets(tracks).keys() == {frozenset(expected)}


def test_the_reference_is_the_node_with_most_weight_and_of_equal_ones_the_lowest():
    image_of_node = np.arange(3)
    assert build_tracks(image_of_node, edges_of((0, 1, 0.5), (1, 2, 0.5))).reference.tolist() == [1]
    assert build_tracks(image_of_node, edges_of((2, 1, 0.5), (2, 0, 0.25), (0, 1, 0.25))).reference.tolist() == [1]
    assert build_tracks(np.arange(2), edges_of((1, 0, 0.5))).reference.tolist() == [0]


@pytest.mark.parametrize("nodes", [0, 3])
def test_without_edges_there_are_no_tracks(nodes):
    edges = edges_of()
    tracks = build_tracks(np.arange(nodes), edges)
    assert tracks.of_node.tolist() == [-1] * nodes
    assert tracks.reference.shape == tracks.observations().shape == (0,)
    warps = warps_from_reference(tracks, edges, np.zeros((0, 2, 2)))
    assert np.array_equal(warps, np.tile(np.eye(2), (nodes, 1, 1)))


@st.composite
def warped_graphs(draw):
    image_of_node, edges = draw(graphs())
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    # No two weights are equal: which of equal edges is taken is nobody's business.
    weight = random.permutation(len(edges.a)) / 32 + 1 / 64
    return image_of_node, edges._replace(weight=weight), random


def some_matrices(random, count):
    return np.eye(2) + random.uniform(-0.4, 0.4, (count, 2, 2))


@given(warped_graphs())
def test_warps_that_agree_with_each_other_are_those_from_reference_to_node(graph):
    image_of_node, edges, random = graph
    of_node = some_matrices(random, len(image_of_node))  # how each node sees one common surface
    tracks = build_tracks(image_of_node, edges)
    found = warps_from_reference(tracks, edges, of_node[edges.b] @ np.linalg.inv(of_node[edges.a]))
    for node, number in enumerate(tracks.of_node):
        expected = of_node[node] @ np.linalg.inv(of_node[tracks.reference[number]]) if number >= 0 else np.eye(2)
        np.testing.assert_allclose(found[node], expected, atol=1e-9)


@given(warped_graphs())
def test_warps_are_composed_along_the_fewest_edges(graph):
    image_of_node, edges, random = graph
    warps = some_matrices(random, len(edges.a))
    tracks = build_tracks(image_of_node, edges)
    expected = plain_warps(tracks, edges, warps)
    np.testing.assert_allclose(warps_from_reference(tracks, edges, warps), expected, atol=1e-9)


def plain_warps(tracks, edges, warps):
    """Step by step from each reference: every new node is reached by the strongest edge from those of steps before."""
    found = np.tile(np.eye(2), (len(tracks.of_node), 1, 1))
    for number, reference in enumerate(tracks.reference):
        members = set(np.flatnonzero(tracks.of_node == number).tolist())
        reached = {int(reference)}
        while reached < members:
            best = {}
            for a, b, weight, warp in zip(edges.a, edges.b, edges.weight, warps, strict=True):
                for begin, end, step in ((a, b, warp), (b, a, np.linalg.inv(warp))):
                    if begin in reached and end in members - reached and weight > best.get(end, (0,))[0]:
                        best[end] = weight, step @ found[begin]
            for end, (_, warp) in best.items():
                found[end] = warp
            reached |= {int(end) for end in best}
    return found
