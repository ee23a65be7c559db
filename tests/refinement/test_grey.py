"""The stage of grey values on a collection: exact, in memory that is bounded, and refused where it can't be sure."""

from dataclasses import replace

import numpy as np
import pytest
from support.grey_texture import apply, inverse, photograph

from d2sfm.coordinates import stored_array, stored_from_upright, upright_array
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.grey import GreyAdjustment, photograph_warps
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.tracks import Edges, build_tracks

pytestmark = pytest.mark.usefixtures("one_thread")
# From the pattern to each photograph: the last has pixels half as large, and the network sees half as many.
IMAGE_FROM_PATTERN = [
    np.array([[1.0, 0, 0], [0, 1, 0]]),
    np.array([[0.98, 0.06, 5.3], [-0.05, 1.02, 4.1]]),
    np.array([[2.1, 0.1, 3.7], [-0.08, 2.0, 9.2]]),
]
SIZES, FACTORS = [(200, 160), (200, 160), (400, 320)], [1, 1, 2]
ORIENTATIONS = [1, 6, 3]
COUNT = 20


def collection(random, disturbed_px=0.4, orientations=ORIENTATIONS):
    """Keypoints at the same places of the pattern, disturbed; all pairs of images matched, with their true warps."""
    places, images = random.uniform((50, 50), (150, 110), (COUNT, 2)), []
    for number, (affine, size, factor) in enumerate(zip(IMAGE_FROM_PATTERN, SIZES, FACTORS, strict=True)):
        upright = apply(affine, places) + random.uniform(-disturbed_px, disturbed_px, places.shape)
        orientation = orientations[number]
        stored_size = size if orientation < 5 else size[::-1]
        stored_input = tuple(edge // factor for edge in stored_size)
        keypoints = np.column_stack([stored_from_upright(upright, stored_size, orientation), np.full(COUNT, factor)])
        of_stored = (number + 1, str(number), stored_size, stored_input, orientation, keypoints)
        images.append(ImageKeypoints.of_stored(*of_stored))
    nodes, pairs = np.arange(COUNT), [(0, 1), (0, 2), (1, 2)]
    begin, end = (np.concatenate([nodes + pair[side] * COUNT for pair in pairs]) for side in (0, 1))
    linear = [affine[:, :2] / factor for affine, factor in zip(IMAGE_FROM_PATTERN, FACTORS, strict=True)]
    warps = np.concatenate([np.tile(linear[b] @ np.linalg.inv(linear[a]), (COUNT, 1, 1)) for a, b in pairs])
    return Collection(images=images, edges=Edges(begin, end, random.uniform(0.5, 1, len(begin))), warps=warps)


@pytest.fixture(scope="module")
def pictures():
    """Upright."""
    given = zip(SIZES, IMAGE_FROM_PATTERN, (1, 0.6, 0.8), (0, 60, 10), strict=True)
    return [photograph(size, inverse(affine), *grey) for size, affine, *grey in given]


def adjusted(found, pictures, asked=None, are_predicted=False, **how):
    """Tracks, and what ``GreyAdjustment.move`` says of all nodes, in order."""
    tracks = build_tracks(found.image_of_node, found.edges)
    work = schedule(found, tracks, **how)

    def levels_of(number):
        if asked is not None:
            asked.append(number)
        return GreyLevels(pictures[number])

    given = found, tracks, found.xy, photograph_warps(found, tracks), levels_of, work.nodes, work.slots
    adjustment = GreyAdjustment(*given, are_predicted=are_predicted)
    values = np.column_stack([found.xy, np.full(len(found.xy), np.nan)])
    for part in work.parts:
        values[part.nodes] = adjustment.move(part)
    return tracks, values


def errors_px(found, tracks, xy):
    """Of the observations, from where the reference of their track lies in the pattern, in pixels of the photograph."""
    in_pattern, nodes = np.empty_like(xy), tracks.observations()
    for number, image in enumerate(found.images):
        here = found.image_of_node == number
        in_pattern[here] = apply(inverse(IMAGE_FROM_PATTERN[number]), (xy[here] + 0.5) * image.per_input_px)
    difference = in_pattern[nodes] - in_pattern[tracks.reference[tracks.of_node[nodes]]]
    linear = np.array([affine[:, :2] for affine in IMAGE_FROM_PATTERN])[found.image_of_node[nodes]]
    return np.linalg.norm(np.einsum("nij,nj->ni", linear, difference), axis=1)


def test_observations_are_exact_in_photographs_of_any_size_stored_any_way(pictures):
    found = collection(np.random.default_rng(0))
    assert [image.input_size for image in found.images] == [(200, 160)] * 3
    turned = [upright_array(stored_array(p, o), o) for p, o in zip(pictures, ORIENTATIONS, strict=True)]
    tracks, values = adjusted(found, turned)
    nodes = tracks.observations()
    assert len(nodes) == 2 * COUNT
    exact = np.isfinite(values[nodes, 2])
    before, after = errors_px(found, tracks, found.xy), errors_px(found, tracks, values[:, :2])
    print(f"{exact.mean():.2f} accepted, median {np.median(before):.3f} -> {np.median(after):.4f} px")
    assert exact.mean() > 0.9
    assert np.median(before) > 0.3
    assert after[exact].max() < 0.03
    others = np.setdiff1d(np.arange(len(values)), nodes[exact])
    assert np.array_equal(values[others, :2], found.xy[others])
    assert np.isnan(values[others, 2]).all()


def test_the_way_photographs_are_stored_changes_nothing(pictures):
    of_turned, of_upright = (
        adjusted(collection(np.random.default_rng(0), orientations=each), pictures)[1]
        for each in (ORIENTATIONS, [1, 1, 1])
    )
    np.testing.assert_allclose(of_turned, of_upright, atol=1e-3)  # keypoints are turned as float32


def test_nothing_depends_on_how_the_work_is_divided(pictures):
    found, asked = collection(np.random.default_rng(1)), []
    whole = adjusted(found, pictures, asked)[1]
    assert len(asked) <= 2 * len(pictures)  # a sweep to and fro
    in_parts = adjusted(found, pictures, most_tracks=3, part_nodes=4)[1]
    assert whole.tobytes() == in_parts.tobytes()


def test_what_lies_too_far_off_stays(pictures):
    found = collection(np.random.default_rng(2), disturbed_px=0.2)
    tracks = build_tracks(found.image_of_node, found.edges)
    node = next(each for each in tracks.observations() if found.image_of_node[each] == 1)
    found.xy[node] += (1.3, 0.3)
    _, values = adjusted(found, pictures)
    assert np.array_equal(values[node, :2], found.xy[node])
    assert np.isnan(values[node, 2])


@pytest.mark.parametrize("are_predicted", [False, True])
def test_what_would_leave_its_photograph_stays(pictures, are_predicted):
    found = collection(np.random.default_rng(3), orientations=[1, 1, 1])
    _, before = adjusted(found, pictures, are_predicted=are_predicted)
    start_px, moved_px = (xy[:, 0] + 0.5 for xy in (found.xy, before))  # of the inputs, from the left edge
    node = np.flatnonzero(np.floor(start_px) < np.floor(moved_px))[0]
    number, edge_px = found.image_of_node[node], int(moved_px[node])
    images, cut = list(found.images), found.images[number]
    sizes = (FACTORS[number] * edge_px, cut.image_size[1]), (edge_px, cut.input_size[1])
    images[number] = replace(cut, image_size=sizes[0], input_size=sizes[1])
    _, values = adjusted(replace(found, images=images), pictures, are_predicted=are_predicted)
    is_outside = (found.image_of_node == number) & (moved_px > edge_px)
    stays = np.column_stack([found.xy, np.full(len(found.xy), np.nan)])
    assert 0 < np.isfinite(before[is_outside, 2]).sum() < np.isfinite(values[:, 2]).sum()
    np.testing.assert_array_equal(values, np.where(is_outside[:, None], stays, before))


def test_of_a_photograph_only_bytes_are_kept():
    """As large as the photograph's own, but for the octaves and the border that windows reach over."""
    levels = GreyLevels(np.zeros((900, 1200, 3), np.uint8))
    levels.squares(np.array([[600.0, 450.0]]), 4)
    assert sum(octave.nbytes for octave in levels._octaves) < 1.7 * 900 * 1200
