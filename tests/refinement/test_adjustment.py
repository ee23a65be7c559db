"""The division of tracks by memory, and nodes moved to where their references' patches lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from torch.nn import functional as F

from d2sfm.network.early_maps import CELL_PX, COARSE, FINE, FeatureMaps
from d2sfm.network.trunk import CHANNELS
from d2sfm.refinement import adjustment as adjustment_module
from d2sfm.refinement.adjustment import LARGEST_MOVE_PX, Adjustment
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.schedule import MOST_TRACKS, schedule
from d2sfm.refinement.tracks import Edges, build_tracks

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (96, 80)
SHIFTS_PX = np.array([[0.0, 0.0], [3.0, -2.0], [-4.5, 1.0]])  # of each image's contents against the first


def shifted_maps(shift_px, stretch=1.0):
    """Maps of one endless pattern of waves, as an image sees it whose contents are moved and stretched."""
    random, layers = np.random.default_rng(0), {}
    for name in (FINE, COARSE):
        waves = random.normal(0, 0.15, (CHANNELS[name], 2))  # radians for a pixel
        phases = random.uniform(0, 2 * np.pi, CHANNELS[name])
        width, height = (edge // CELL_PX[name] for edge in SIZE)
        rows, columns = np.mgrid[:height, :width]
        centres = CELL_PX[name] * np.stack([columns, rows], axis=-1) + (CELL_PX[name] - 1) / 2
        cells = np.cos((centres - shift_px) / stretch @ waves.T + phases)
        layers[name] = F.normalize(torch.from_numpy(cells).float(), dim=2).half()
    return FeatureMaps(layers[FINE], layers[COARSE])


def shifted_collection(random, per_image=12, disturbed_px=3.0, scale=1.0, warp=None):
    """Keypoints at the same places of the pattern in all images, then disturbed; all pairs of images matched."""
    places = random.uniform((30, 30), (66, 50), (per_image, 2))
    images = [
        ImageKeypoints(
            image_id=number + 1,
            name=f"{number}.png",
            image_size=SIZE,
            input_size=SIZE,
            xy=places + shift + random.uniform(-disturbed_px, disturbed_px, places.shape),
            scale=np.full(per_image, scale),
        )
        for number, shift in enumerate(SHIFTS_PX)
    ]
    nodes = np.arange(per_image)
    begin, end = (np.concatenate([nodes + image * per_image for image in ends]) for ends in ((0, 0, 1), (1, 2, 2)))
    warps = np.tile(np.eye(2) if warp is None else warp, (len(begin), 1, 1))
    return Collection(images=images, edges=Edges(begin, end, random.uniform(0.5, 1, len(begin))), warps=warps)


def aligned(collection, maps, **how):
    tracks = build_tracks(collection.image_of_node, collection.edges)
    work, positions = schedule(collection, tracks, **how), collection.xy.copy()
    adjustment = Adjustment(collection, tracks, maps.__getitem__, work.slots)
    for part in work.parts:
        positions[part.nodes] = adjustment.move(part)
    return tracks, positions


def errors_px(collection, tracks, positions):
    nodes = tracks.observations()
    references = tracks.reference[tracks.of_node[nodes]]
    at_first = positions - SHIFTS_PX[collection.image_of_node]
    return np.linalg.norm(at_first[nodes] - at_first[references], axis=1)


@pytest.fixture(scope="module")
def maps():
    return [shifted_maps(shift) for shift in SHIFTS_PX]


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"most_tracks": 1}, {"most_tracks": 5}, {"part_nodes": 1}])
def test_positions_do_not_depend_on_the_room_for_patches_nor_on_parts(maps, how):
    collection = shifted_collection(np.random.default_rng(1))
    tracks, expected = aligned(collection, maps)
    assert len(schedule(collection, tracks, **how).parts) >= len(schedule(collection, tracks).parts) == 1
    _, positions = aligned(collection, maps, **how)
    assert np.array_equal(positions, expected)


def test_patches_of_the_most_tracks_take_what_is_stated():
    searches = adjustment_module.SEARCHES
    sides = {layer: max(search.side for search in searches if search.layer == layer) for layer in CELL_PX}
    of_track = sum(2 * CHANNELS[layer] * side**2 for layer, side in sides.items())
    assert 3.9e9 < MOST_TRACKS * of_track < 4e9


def test_positions_do_not_depend_on_how_many_nodes_are_aligned_at_once(maps, monkeypatch):
    collection = shifted_collection(np.random.default_rng(2))
    _, expected = aligned(collection, maps)
    monkeypatch.setattr(adjustment_module, "NODES_AT_ONCE", 5)
    np.testing.assert_allclose(aligned(collection, maps)[1], expected, atol=1e-4)


@settings(max_examples=examples(10))
@given(seed=st.integers(0, 2**16))
def test_nodes_come_to_where_their_references_are_and_these_stay(maps, seed):
    collection = shifted_collection(np.random.default_rng(seed))
    tracks, positions = aligned(collection, maps)
    assert len(tracks.reference) == 12
    assert np.array_equal(positions[tracks.reference], collection.xy[tracks.reference])
    assert np.median(errors_px(collection, tracks, collection.xy)) > 1.5
    assert np.median(errors_px(collection, tracks, positions)) < 0.1


def test_nodes_that_would_move_too_far_stay_as_they_are(maps, monkeypatch):
    collection = shifted_collection(np.random.default_rng(3), per_image=30)
    tracks, moved = aligned(collection, maps)
    moves = np.abs(moved - collection.xy).max(axis=1)
    assert moves.max() <= LARGEST_MOVE_PX
    limit = np.median(moves[tracks.observations()])
    monkeypatch.setattr(adjustment_module, "LARGEST_MOVE_PX", limit)
    _, limited = aligned(collection, maps)
    expected = np.where((moves > limit)[:, None], collection.xy, moved)
    assert 0 < (moves > limit).sum() < len(moves)
    assert np.array_equal(limited, expected)


def test_nodes_that_would_leave_the_picture_stay_as_they_are(maps):
    collection = shifted_collection(np.random.default_rng(3), per_image=30)
    tracks, moved = aligned(collection, maps)
    size = int(np.median(moved[tracks.observations(), 0])), SIZE[1]
    images = [replace(image, image_size=size, input_size=size) for image in collection.images]
    _, found = aligned(replace(collection, images=images), maps)
    leaves = (collection.xy[:, 0] + 0.5 <= size[0]) & (moved[:, 0] + 0.5 > size[0])
    assert 0 < leaves.sum() < len(leaves)
    assert np.array_equal(found, np.where(moved[:, :1] + 0.5 > size[0], collection.xy, moved))


def test_of_keypoints_of_coarse_levels_larger_surroundings_are_compared_and_moves_may_be_longer(maps, monkeypatch):
    collection = shifted_collection(np.random.default_rng(4), per_image=30, scale=2.0)
    tracks, moved = aligned(collection, maps)
    assert np.median(errors_px(collection, tracks, moved)) < 0.2
    moves = np.abs(moved - collection.xy).max(axis=1)
    limit = np.median(moves[tracks.observations()])
    monkeypatch.setattr(adjustment_module, "LARGEST_MOVE_PX", limit / 2)
    _, limited = aligned(collection, maps)
    assert np.array_equal(limited, np.where((moves > limit)[:, None], collection.xy, moved))


def test_warps_make_patches_of_stretched_views_alike():
    stretch = 1.4
    stretched = [shifted_maps(np.zeros(2)), shifted_maps(np.zeros(2), stretch)]
    random = np.random.default_rng(5)
    places = random.uniform((24, 20), (44, 36), (20, 2))
    xy = [places, stretch * places + random.uniform(-3, 3, places.shape)]
    images = [
        ImageKeypoints(
            image_id=n, name=f"{n}.png", image_size=SIZE, input_size=SIZE, xy=xy[n], scale=np.ones(len(places))
        )
        for n in (0, 1)
    ]
    nodes = np.arange(len(places))
    edges = Edges(nodes, nodes + len(places), np.ones(len(places)))
    medians = []
    for factor in (stretch, 1.0):
        warps = np.tile(factor * np.eye(2), (len(places), 1, 1))
        tracks, moved = aligned(Collection(images=images, edges=edges, warps=warps), stretched)
        assert np.array_equal(tracks.reference, nodes)
        medians.append(np.median(np.linalg.norm(moved[len(places) :] - stretch * places, axis=1)))
    assert medians[0] < 0.15
    assert medians[0] < medians[1] / 2


def test_pictures_are_asked_for_once_in_a_visit(maps):
    collection = shifted_collection(np.random.default_rng(6))
    tracks = build_tracks(collection.image_of_node, collection.edges)
    asked, told = [], []
    work = schedule(collection, tracks)
    adjustment = Adjustment(collection, tracks, lambda number: asked.append(number) or maps[number], work.slots)
    [part] = work.parts
    adjustment.move(part, told.append)
    assert asked == [visit.image for visit in part.visits]
    assert told == [len(visit.nodes) for visit in part.visits]
    assert sum(told) == len(work.nodes) == len(tracks.observations())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_cpus_positions(maps):
    collection = shifted_collection(np.random.default_rng(8), per_image=100)
    _, expected = aligned(collection, maps)
    _, found = aligned(collection, [FeatureMaps(*(each.cuda() for each in of_image)) for of_image in maps])
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.slow
def test_patches_of_many_references_need_no_more_memory_at_once(maps, monkeypatch):
    collection, counts = shifted_collection(np.random.default_rng(9), per_image=200), []
    sample = adjustment_module.sample_patches

    def counted(cells, centres, bases, side):
        counts.append(len(centres))
        return sample(cells, centres, bases, side)

    monkeypatch.setattr(adjustment_module, "sample_patches", counted)
    aligned(collection, maps)
    assert sum(counts) >= 2 * 200
    assert max(counts) <= adjustment_module.NODES_AT_ONCE


def test_no_tracks_need_no_maps():
    collection = shifted_collection(np.random.default_rng(7))
    nothing = Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    collection = Collection(images=collection.images, edges=nothing, warps=np.zeros((0, 2, 2)))
    tracks, positions = aligned(collection, [])
    assert schedule(collection, tracks).parts == []
    assert np.array_equal(positions, collection.xy)
