"""Tracks predicted where an image sees their place without a keypoint: where neighbours agree, and only there."""

import tracemalloc

import numpy as np
import pytest
from support.grey_texture import apply

from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.continuation import as_rows, corrected, extend, members, predict
from d2sfm.refinement.outliers import OUTLIER
from d2sfm.refinement.tracks import Edges, Tracks

SIZE = (400, 300)
FROM_FIRST = [
    np.array([[1.0, 0, 0], [0, 1, 0]]),
    np.array([[0.95, 0.1, 12.0], [-0.08, 1.05, -9.0]]),
    np.array([[1.1, 0.0, -30.0], [0.05, 0.9, 20.0]]),
]
TRACKS = 120


@pytest.fixture
def seen():
    """Which images see which track, [T, I] bool: all in the first, most in the others."""
    found = np.random.default_rng(0).random((TRACKS, 3)) < 0.75
    found[:, 0] = True
    found[~found[:, 1:].any(axis=1), 1] = True
    return found


def views(seen, disturbed_px=0.0):
    """A collection of nodes at the places that the images see, its tracks (references in the first image), positions
    and warps in pixels of the photographs."""
    random = np.random.default_rng(1)
    places = random.uniform((60, 60), (340, 240), (TRACKS, 2))
    images, tracks, warps = [], [], []
    for number, affine in enumerate(FROM_FIRST):
        here = np.flatnonzero(seen[:, number])
        xy = apply(affine, places[here]) - 0.5
        if number:
            xy += random.uniform(-disturbed_px, disturbed_px, xy.shape)
        images.append(
            ImageKeypoints(
                image_id=3 - number, name="", image_size=SIZE, input_size=SIZE, xy=xy, scale=np.ones(len(here))
            )
        )
        tracks.append(here)
        warps.append(np.tile(affine[:, :2], (len(here), 1, 1)))
    edges = Edges(*(np.zeros(0, int) for _ in "ab"), np.zeros(0))
    collection = Collection(images=images, edges=edges, warps=np.zeros((0, 2, 2)))
    tracks = Tracks(np.concatenate(tracks), np.arange(TRACKS))
    return places, collection, tracks, collection.xy + 0.5, np.concatenate(warps)


def predicted(collection, tracks, xy, warps, exact=None, sure=None, unit_px=1.0, into=None):
    nodes = (np.arange(len(xy)) if some is None else some for some in (exact, sure))
    exact, sure = (members(tracks, collection, some) for some in nodes)
    count = len(collection.images)
    into = np.arange(count) if into is None else into
    return predict(exact, sure, xy, warps, np.array([SIZE] * count), np.full(count, float(unit_px)), into)


def test_places_and_warps_are_those_of_the_surroundings(seen):
    places, collection, tracks, xy, warps = views(seen)
    found = predicted(collection, tracks, xy, warps)
    assert len(found.track) > 0.9 * (~seen).sum()
    assert not seen[found.track, found.image].any()
    assert len(set(zip(found.track.tolist(), found.image.tolist(), strict=True))) == len(found.track)
    for number, affine in enumerate(FROM_FIRST):
        here = found.image == number
        np.testing.assert_allclose(found.xy[here], apply(affine, places[found.track[here]]), atol=0.05)
        alone = predicted(collection, tracks, xy, warps, into=[number])
        assert all(map(np.array_equal, alone, (column[here] for column in found)))
        np.testing.assert_allclose(found.warps[here], np.tile(affine[:, :2], (here.sum(), 1, 1)), atol=0.01)


def test_some_wrong_neighbours_do_no_harm_and_many_forbid(seen):
    places, collection, tracks, xy, warps = views(seen)
    random = np.random.default_rng(2)
    wrong = random.permutation(np.arange(TRACKS, len(xy)))
    few, many = xy.copy(), xy.copy()
    few[wrong[:15]] += random.uniform(20, 40, (15, 2))
    many[wrong] += random.uniform(-20, 20, (len(wrong), 2))
    found = predicted(collection, tracks, few, warps)
    errors = [
        np.linalg.norm(apply(FROM_FIRST[image], places[track]) - at)
        for track, image, at in zip(found.track, found.image, found.xy, strict=True)
    ]
    assert len(errors) > 0.3 * (~seen).sum()
    assert np.median(errors) < 0.5
    assert len(predicted(collection, tracks, many, warps).track) < 0.05 * (~seen).sum()


def test_nothing_is_predicted_from_few_tracks_or_of_what_is_not_sure(seen):
    _, collection, tracks, xy, warps = views(seen)
    none = predicted(collection, tracks, xy, warps, exact=np.arange(TRACKS))
    assert [each.shape for each in none] == [(0,), (0,), (0, 2), (0, 2, 2)]
    unsure = 7
    sure = np.flatnonzero(tracks.of_node != unsure)
    assert unsure not in predicted(collection, tracks, xy, warps, exact=sure, sure=sure).track
    # Neighbours that are far off, as of pixels that are large.
    assert len(predicted(collection, tracks, xy, warps, unit_px=0.1).track) == 0


def test_nothing_is_predicted_beyond_the_picture(seen):
    _, collection, tracks, xy, warps = views(seen)
    beyond = (collection.image_of_node == 1)[:, None] * np.array([150.0, 0.0])
    found = predicted(collection, tracks, xy + beyond, warps)
    in_second = found.xy[found.image == 1]
    assert 0 < len(in_second) < 0.8 * (~seen[:, 1]).sum()
    assert (in_second[:, 0] < SIZE[0] - 16).all()


def test_an_extended_collection_keeps_what_was_there(seen):
    _, collection, tracks, xy, warps = views(seen)
    found = predicted(collection, tracks, xy, warps)
    extended = extend(collection, tracks, collection.xy, warps, found)
    assert np.array_equal(extended.xy[extended.old], collection.xy)
    assert np.array_equal(extended.tracks.of_node[extended.old], tracks.of_node)
    assert np.array_equal(extended.old[tracks.reference], extended.tracks.reference)
    assert np.array_equal(np.sort(np.append(extended.old, extended.new)), np.arange(len(extended.xy)))
    assert np.array_equal(extended.collection.image_of_node[extended.new], found.image)
    assert np.array_equal(extended.tracks.of_node[extended.new], found.track)
    np.testing.assert_allclose(extended.xy[extended.new] + 0.5, found.xy, atol=1e-9)
    assert np.array_equal(extended.collection.xy, extended.xy)
    for before, after in zip(collection.images, extended.collection.images, strict=True):
        assert np.array_equal(after.xy[: len(before.xy)], before.xy)


def unsure(moved_px):
    """Views whose second image has nodes that are not sure, every tenth, moved along x: with positions in the inputs,
    these nodes, and what is predicted."""
    _, collection, tracks, _, warps = views(np.ones((TRACKS, 3), bool))
    nodes = np.arange(TRACKS, 2 * TRACKS, 10)
    places, moved = collection.xy[nodes].copy(), collection.xy.copy()
    moved[nodes, 0] += moved_px
    sure = np.setdiff1d(np.arange(len(moved)), nodes)
    found = predicted(collection, tracks, moved + 0.5, warps, exact=sure, sure=sure)
    extended = extend(collection, tracks, moved, warps, found)
    sigmas = np.full(len(moved), 0.2)
    sigmas[nodes] = np.nan
    order = np.argsort(extended.own)
    assert np.array_equal(extended.own[order], nodes)
    np.testing.assert_allclose(extended.xy[extended.new[order]], places, atol=0.05)
    return moved, sigmas, nodes, extended, extended.new[order]


@pytest.mark.parametrize(("moved_px", "is_near"), [(3.0, True), (-3.0, True), (5.0, False), (40.0, False)])
def test_what_is_found_again_is_put_right_or_taken_out(moved_px, is_near):
    moved, sigmas, nodes, extended, new = unsure(moved_px)
    found = np.full((len(extended.xy), 3), np.nan)
    accepted = new[::2]
    found[accepted] = np.column_stack([extended.xy[accepted], np.full(len(accepted), 0.1)])
    right = corrected(extended, moved, moved, sigmas, found)
    others = np.setdiff1d(np.arange(len(moved)), nodes)
    assert np.array_equal(right.xy[others], moved[others])
    if is_near:
        assert np.array_equal(right.xy[nodes[::2]], extended.xy[accepted])
        assert np.array_equal(right.xy[nodes[1::2]], moved[nodes[1::2]])
        assert (right.sigmas[nodes[::2]] == 0.1).all()
        assert np.isnan(right.sigmas[nodes[1::2]]).all()
        assert np.isnan(right.found).all()  # nothing is new
    else:
        assert np.array_equal(right.xy, moved)
        assert (right.sigmas[nodes[::2]] == OUTLIER).all()
        assert np.isnan(right.sigmas[nodes[1::2]]).all()
        assert np.array_equal(np.flatnonzero(np.isfinite(right.found[:, 2])), np.sort(accepted))
    # References are as sure as the surest of their tracks.
    of_accepted = np.isin(np.arange(TRACKS), extended.tracks.of_node[accepted])
    assert (right.sigmas[:TRACKS] == np.where(of_accepted, 0.1, 0.2)).all()


def test_a_keypoint_that_its_alignment_led_astray_is_put_right():
    places, sigmas, nodes, extended, new = unsure(0.0)
    astray, found = places.copy(), np.full((len(extended.xy), 3), np.nan)
    astray[nodes] += [7.0, 0.0]
    found[new] = np.column_stack([extended.xy[new], np.full(len(new), 0.1)])
    right = corrected(extended, places, astray, sigmas, found)
    assert np.array_equal(right.xy[nodes], extended.xy[new])
    assert (right.sigmas[nodes] == 0.1).all()


def test_a_track_that_was_sure_nowhere_is_followed_from_its_reference():
    _, collection, tracks, xy, warps = views(np.ones((TRACKS, 3), bool))
    alone = 7
    exact = np.flatnonzero(tracks.of_node != alone)
    sure = np.append(exact, tracks.reference[alone])
    found = predicted(collection, tracks, xy, warps, exact=exact, sure=sure)
    assert (found.track.tolist(), found.image.tolist()) == ([alone] * 2, [1, 2])
    of_track = np.flatnonzero(tracks.of_node == alone)
    np.testing.assert_allclose(found.xy, xy[of_track[1:]], atol=0.05)
    extended = extend(collection, tracks, collection.xy, warps, found)
    assert np.array_equal(extended.own, of_track[1:])
    sigmas, places = np.full(len(xy), 0.2), np.full((len(extended.xy), 3), np.nan)
    sigmas[of_track] = np.nan
    places[extended.new[0]] = [*extended.xy[extended.new[0]], 0.15]
    right = corrected(extended, collection.xy, collection.xy, sigmas, places)
    np.testing.assert_array_equal(right.sigmas[of_track], [0.15, 0.15, np.nan])


def test_rows_name_the_new_keypoints_by_their_place_behind_the_old(seen):
    _, collection, tracks, xy, warps = views(seen)
    extended = extend(collection, tracks, collection.xy, warps, predicted(collection, tracks, xy, warps))
    found = np.full((len(extended.xy), 3), np.nan)
    accepted = extended.new[::2]
    found[accepted] = np.column_stack([extended.xy[accepted], np.full(len(accepted), 0.1)])
    rows = as_rows(extended, extended.old, found)
    assert sum(map(len, rows.keypoints.values())) == len(accepted) == sum(map(len, rows.sigmas.values()))
    track_of = {}  # by image_id and row
    for number, image in enumerate(collection.images):
        old = np.flatnonzero(collection.image_of_node == number)
        new = np.sort(accepted[extended.collection.image_of_node[accepted] == number])
        track_of[image.image_id] = np.append(tracks.of_node[old], extended.tracks.of_node[new])
        np.testing.assert_allclose(
            rows.keypoints.get(image.image_id, np.zeros((0, 4)))[:, :2], extended.xy[new] + 0.5, atol=1e-9
        )
    assert rows.matches.keys() == {(1, 2), (1, 3), (2, 3)}
    count = {image.image_id: len(image.xy) for image in collection.images}
    for (a, b), matches in rows.matches.items():
        assert np.array_equal(track_of[a][matches[:, 0]], track_of[b][matches[:, 1]])
        assert ((matches[:, 0] >= count[a]) | (matches[:, 1] >= count[b])).all()
        both = np.intersect1d(track_of[a], track_of[b])
        of_old = np.intersect1d(track_of[a][: count[a]], track_of[b][: count[b]])
        assert len(matches) == len(both) - len(of_old)


def test_a_long_walk_takes_no_table_of_all_tracks_and_images():
    count, shared = 1200, 3
    xy = np.random.default_rng(0).uniform(60, 240, (2 * shared, 2))
    images = [
        ImageKeypoints(image_id=n, name="", image_size=SIZE, input_size=SIZE, xy=xy, scale=np.ones(len(xy)))
        for n in range(count)
    ]
    edges = Edges(*(np.zeros(0, int) for _ in "ab"), np.zeros(0))
    collection = Collection(images=images, edges=edges, warps=np.zeros((0, 2, 2)))
    # Each image sees the tracks of the one before, and of the next one.
    of_node = (shared * np.arange(count)[:, None] + np.arange(2 * shared)).ravel() % (shared * count)
    tracks = Tracks(of_node, np.sort(np.unique(of_node, return_index=True)[1]))
    warps = np.tile(np.eye(2), (len(of_node), 1, 1))
    tracemalloc.start()
    found = predicted(collection, tracks, collection.xy, warps)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.track) == 0
    assert peak < count * shared * count  # a byte for each track and image
