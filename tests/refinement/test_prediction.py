"""Tracks predicted where an image sees their place without a keypoint: where neighbours agree, and only there."""

import tracemalloc

import numpy as np
from support.grey_texture import apply
from support.seen_tracks import FROM_FIRST, SIZE, TRACKS, predicted, views

from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.tracks import Edges, Tracks


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
