"""How exact refinement is where the truth is known to the last digit: views of a plane."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plane_views import SIZE, plane_views, textured_places

from d2sfm.network.early_maps import feature_maps
from d2sfm.network.trunk import Trunk
from d2sfm.network.weights.load import load_weights
from d2sfm.options import Preprocessing
from d2sfm.refinement.adjustment import Adjustment
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.tracks import Edges, build_tracks
from d2sfm.refinement.warps import local_warps

DISTURBED_PX = 6.0
POINTS = 150


@pytest.fixture(scope="module")
def trunk():
    return Trunk(load_weights("d2_ots", Preprocessing.CAFFE))


def disturbed_collection(views, random):
    """Keypoints at exact correspondences, then each moved by up to 6 px on each axis; all pairs of views matched."""
    places = textured_places(views, POINTS)
    images = []
    for view in range(len(views.pictures)):
        xy = views.transfer(places, 0, view)
        xy += random.uniform(-DISTURBED_PX, DISTURBED_PX, xy.shape)
        given = {"image_id": view + 1, "name": f"{view}.png", "image_size": SIZE, "input_size": SIZE}
        images.append(ImageKeypoints(**given, xy=xy, scale=np.ones(len(xy))))
    begin, end, warps = [], [], []
    for a in range(len(images)):
        for b in range(a + 1, len(images)):
            begin.append(np.arange(len(places)) + a * len(places))
            end.append(np.arange(len(places)) + b * len(places))
            warps.append(local_warps(images[a].xy, images[b].xy))
    begin, end = np.concatenate(begin), np.concatenate(end)
    edges = Edges(begin, end, random.uniform(0.5, 1, len(begin)))
    return Collection(images=images, edges=edges, warps=np.concatenate(warps))


def errors_px(views, collection, tracks, positions):
    """Distances of the aligned nodes from the exact transfer of their track's reference, in pixels of the input."""
    nodes = tracks.observations()
    references = tracks.reference[tracks.of_node[nodes]]
    view_of = collection.image_of_node
    transfers = [
        views.transfer(positions[[reference]], view_of[reference], view_of[node])[0]
        for node, reference in zip(nodes, references, strict=True)
    ]
    return np.linalg.norm(transfers - positions[nodes], axis=1)


def errors_before_and_after(trunk, seed, scale):
    views, random = plane_views(seed, scale, count=3), np.random.default_rng(seed)
    collection = disturbed_collection(views, random)
    tracks = build_tracks(collection.image_of_node, collection.edges)
    assert len(tracks.reference) == len(collection.images[0].xy) > 60
    maps = [feature_maps(picture, trunk, Preprocessing.CAFFE, torch.device("cpu")) for picture in views.pictures]
    work, positions = schedule(collection, tracks), collection.xy.copy()
    adjustment = Adjustment(collection, tracks, maps.__getitem__, work.slots)
    for part in work.parts:
        positions[part.nodes] = adjustment.move(part)
    assert np.array_equal(positions[tracks.reference], collection.xy[tracks.reference])
    errors = [errors_px(views, collection, tracks, xy) for xy in (collection.xy, positions)]
    print(f"scale {scale}, seed {seed}: median {np.median(errors[0]):.2f} px, refined {np.median(errors[1]):.3f} px")
    return errors


@pytest.mark.slow
@given(seed=st.integers(0, 2**20))
@settings(max_examples=4, derandomize=True)
def test_refined_keypoints_of_the_same_scale_are_exact_to_a_seventh_of_a_pixel(trunk, seed):
    before, after = errors_before_and_after(trunk, seed, 1.0)
    assert np.median(before) > 4
    assert np.median(after) < 0.15


@pytest.mark.slow
def test_refined_keypoints_of_one_plane_are_exact_to_a_third_of_a_pixel(trunk):
    before, after = errors_before_and_after(trunk, 0, 1.5)
    assert np.median(before) > 4
    assert np.median(after) < 0.3


@pytest.mark.slow
@given(seed=st.integers(0, 2**20))
@settings(max_examples=4, derandomize=True)
def test_refined_keypoints_of_views_one_and_a_half_times_as_near_are_exact_to_a_third(trunk, seed):
    before, after = errors_before_and_after(trunk, seed, 1.5)
    assert np.median(before) > 4
    assert np.median(after) < 0.3


@pytest.mark.slow
def test_the_pictures_show_what_the_homographies_say():
    """The first picture warped into each other view is that view but for resampling; half a pixel aside it is not."""
    views, inner = plane_views(5, 1.0, size=(320, 240)), np.s_[60:-60, 60:-60]

    def difference(homography, picture):
        warped = cv2.warpPerspective(views.pictures[0], homography, views.size, flags=cv2.INTER_CUBIC)
        return np.abs(warped[inner].astype(float) - picture[inner]).mean()

    for homography, picture in zip(views.from_first, views.pictures, strict=True):
        exact = difference(homography, picture)
        assert exact < 6
        for x, y in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
            aside = np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
            assert difference(aside @ homography, picture) > 1.3 * exact
