"""Visits that align every node once, in few sweeps, with no more patches waiting than there is room for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from d2sfm.lru import LruCache
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.schedule import PART_VISITS, image_order, schedule, share_of_tracks
from d2sfm.refinement.tracks import Edges, Tracks, build_tracks


def collection_of(image_of_node, edges, count):
    """Images with as many keypoints as there are nodes of them; image_of_node ascends."""
    sizes = np.bincount(image_of_node, minlength=count)
    images = [
        ImageKeypoints(
            image_id=n + 1,
            name=f"{n}",
            image_size=(8, 8),
            input_size=(8, 8),
            xy=np.zeros((size, 2)),
            scale=np.ones(size),
        )
        for n, size in enumerate(sizes.tolist())
    ]
    return Collection(images=images, edges=edges, warps=np.zeros((len(edges.a), 2, 2)))


@st.composite
def some_tracks(draw):
    images = np.repeat(np.arange(5), 4)
    node = st.integers(0, 19)
    rows = [(a, b) for a, b in draw(st.lists(st.tuples(node, node), max_size=30)) if images[a] != images[b]]
    a, b = np.array(rows, np.int64).reshape(-1, 2).T
    edges = Edges(a, b, np.random.default_rng(0).uniform(0.5, 1, len(a)))
    return collection_of(images, edges, 5), build_tracks(images, edges)


@given(some_tracks(), st.integers(1, 6), st.integers(1, 8), st.sets(st.integers(0, 19)))
def test_every_node_is_aligned_once_with_what_its_slot_holds(graph, most_tracks, part_nodes, done):
    collection, tracks = graph
    done = np.array(sorted(done), np.int64)
    work = schedule(collection, tracks, done, most_tracks=most_tracks, part_nodes=part_nodes)
    held = {}
    for part in work.parts:
        for visit in part.visits:
            for node, slot in zip(visit.nodes, visit.slots, strict=True):
                assert tracks.of_node[node] == tracks.of_node[held[slot]]
            held |= dict(zip(visit.reference_slots.tolist(), visit.references.tolist(), strict=True))
            of_visit = np.concatenate([visit.nodes, visit.references])
            assert len(of_visit)
            assert (collection.image_of_node[of_visit] == visit.image).all()
            assert np.isin(visit.references, tracks.reference).all()
            assert (np.diff(visit.nodes) > 0).all()
        assert len(part.visits) <= PART_VISITS
        assert sum(len(visit.nodes) for visit in part.visits[:-1]) < part_nodes
    nodes = np.concatenate([np.zeros(0, np.int64), *(part.nodes for part in work.parts)])
    assert np.array_equal(np.sort(nodes), np.setdiff1d(tracks.observations(), done))
    assert len(work.nodes) == len(nodes)
    assert work.slots == max(held, default=-1) + 1 <= most_tracks


@given(some_tracks())
def test_with_room_for_all_tracks_there_are_two_sweeps(graph):
    collection, tracks = graph
    work = schedule(collection, tracks)
    visited = [visit.image for part in work.parts for visit in part.visits]
    assert all(visited.count(image) <= 2 for image in visited)


@settings(max_examples=8)
@given(some_tracks(), st.integers(1, 9))
def test_every_node_is_in_one_share_and_shares_are_runs_of_the_images(graph, of):
    collection, tracks = graph
    share = share_of_tracks(collection, tracks, tracks.observations(), of)
    assert len(share) == len(tracks.reference)
    assert ((share >= 0) & (share < of)).all()
    place = np.argsort(image_order(collection))[collection.image_of_node[tracks.reference]]
    assert (np.diff(share[np.argsort(place, kind="stable")]) >= 0).all()
    assert all(len(np.unique(share[place == each])) == 1 for each in place)
    parts = [schedule(collection, tracks.only(share == number)) for number in range(of)]
    nodes = np.concatenate([part.nodes for part in parts])
    assert np.array_equal(np.sort(nodes), tracks.observations())
    for number, part in enumerate(parts):
        assert (share[tracks.of_node[part.nodes]] == number).all()


def test_shares_have_about_as_many_nodes_each():
    images, of, random = np.repeat(np.arange(40), 30), 7, np.random.default_rng(0)
    a = np.flatnonzero(random.uniform(size=39 * 30) < 0.5)  # short tracks
    edges = Edges(a, a + 30, random.uniform(0.5, 1, len(a)))
    collection, tracks = collection_of(images, edges, 40), build_tracks(images, edges)
    nodes = tracks.observations()
    counts = np.bincount(share_of_tracks(collection, tracks, nodes, of)[tracks.of_node[nodes]], minlength=of)
    assert counts.max() - counts.min() < 0.4 * len(nodes) / of


def neighbours_of(places, count):
    return cKDTree(places).query(places, k=min(count + 1, len(places)))[1]


def line(random, count):
    return neighbours_of(np.arange(count)[:, None] + random.uniform(0, 0.1, (count, 1)), 15)


def grid(random, count):
    """Photographs all over a town."""
    return neighbours_of(random.uniform(0, 1, (count, 2)), 15)


def internet(random, count):
    """Photographs of one place from all sides, most of them from where all stand."""
    return neighbours_of(random.normal(size=(count, 2)), count // 5)


def synthetic(neighbours, random, shuffled, per_image):
    """Tracks of images with some of their neighbours, the edges of each being those with the reference."""
    count = len(neighbours)
    names = random.permutation(count) if shuffled else np.arange(count)
    first = np.repeat(np.arange(count), per_image)
    others = neighbours[first[:, None], random.integers(1, neighbours.shape[1], (len(first), 4))]
    track, images = np.repeat(np.arange(len(first)), 5), names[np.column_stack([first, others]).ravel()]
    track, images = np.unique(np.column_stack([track, images]), axis=0).T
    order = np.lexsort((track, images))
    track, images = track[order], images[order]
    by_track = np.lexsort((random.random(len(track)), track))
    reference = by_track[np.unique(track[by_track], return_index=True)[1]]
    nodes = np.flatnonzero(reference[track] != np.arange(len(track)))
    edges = Edges(nodes, reference[track[nodes]], np.ones(len(nodes)))
    return collection_of(images, edges, count), Tracks(track, reference)


class Maps:
    nbytes = 150e6


def computed(work, count, capacity_bytes=2e9):
    """Maps computed for each image."""
    loaded = []
    maps = LruCache(lambda image: loaded.append(image) or Maps(), int(capacity_bytes))
    for part in work.parts:
        for visit in part.visits:
            maps[visit.image]
    return len(loaded) / count


@pytest.mark.parametrize(
    ("kind", "count", "shuffled", "largest"),
    [
        (line, 12, True, 1),
        (line, 50, False, 1.8),
        (line, 200, True, 2),
        (grid, 100, True, 2),
        (internet, 100, True, 5),
        pytest.param(grid, 500, True, 2, marks=pytest.mark.slow),
        pytest.param(internet, 500, True, 5, marks=pytest.mark.slow),
    ],
)
def test_few_maps_are_computed(kind, count, shuffled, largest):
    """With a tenth of the tracks that real photographs have, and of the room for them."""
    random = np.random.default_rng(0)
    collection, tracks = synthetic(kind(random, count), random, shuffled, 130)
    work = schedule(collection, tracks, most_tracks=7000)
    found = computed(work, count)
    print(f"{kind.__name__} {count}: {found:.2f} computations for each image, {work.slots} tracks wait")
    assert found <= largest


def test_a_few_wrong_pairs_do_not_change_the_order():
    random = np.random.default_rng(1)
    collection, _ = synthetic(line(random, 200), random, True, 50)
    wrong = random.integers(0, len(collection.xy), (2, 20 * 15))
    edges = Edges(*(np.concatenate(both) for both in zip(collection.edges, (*wrong, np.ones(300)), strict=True)))
    changed = Collection(images=collection.images, edges=edges, warps=np.zeros((len(edges.a), 2, 2)))
    place = np.argsort(image_order(changed))
    apart = np.abs(np.diff(place[collection.image_of_node[np.stack(collection.edges[:2])]], axis=0))
    assert np.quantile(apart, 0.95) < 25


def test_the_order_holds_every_image_once_also_without_matches():
    nothing = Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert sorted(image_order(collection_of(np.zeros(0, np.int64), nothing, 3))) == [0, 1, 2]
    assert len(image_order(collection_of(np.zeros(0, np.int64), nothing, 0))) == 0
