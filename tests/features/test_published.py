"""Features of the published code's frame in COLMAP's."""

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.coordinates import image_from_input, input_from_level, level_from_grid, resize_factor
from d2sfm.features.published import colmap_fingerprint, in_colmap_frame
from d2sfm.features.pyramid import level_sizes
from d2sfm.features.record import Features
from d2sfm.options import Convention

COLMAP, REFERENCE = Convention.COLMAP, Convention.REFERENCE


def features_of_cells(convention, cells, levels, scales, input_size, image_size):
    """Keypoints as extraction makes them of cells (row, column), each at the level of its number."""
    rows = []
    for cell, level in zip(cells, levels, strict=True):
        scale, level_size = level_sizes(input_size, scales)[level]
        xy = level_from_grid(np.array([cell]), convention)
        xy = input_from_level(xy, level_size, input_size, convention)
        [xy] = image_from_input(xy, input_size, image_size, convention)
        factor = resize_factor(input_size, image_size) if convention is COLMAP else 1.0
        rows.append([*xy, factor / scale, 0.25])
    return Features(
        keypoints=np.array(rows, np.float32).reshape(-1, 4),
        descriptors=np.zeros((len(rows), 512), np.float32),
        image_size=image_size,
        input_size=input_size,
        convention=convention,
        scales=scales,
    )


@settings(max_examples=examples(50))
@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20), st.integers(0, 2)), max_size=8),
    st.sampled_from([(0.5, 1.0, 2.0), (0.25, 0.5, 1.0), (0.3, 0.7, 1.5)]),
    st.sampled_from([((160, 120), (160, 120)), ((160, 120), (401, 300)), ((97, 203), (200, 417))]),
)
def test_keypoints_of_each_level_come_to_their_cells(keypoints, scales, sizes):
    cells, levels = [keypoint[:2] for keypoint in keypoints], [keypoint[2] for keypoint in keypoints]
    published, expected = (
        features_of_cells(convention, cells, levels, scales, *sizes) for convention in (REFERENCE, COLMAP)
    )
    found = in_colmap_frame(published)
    assert found.convention is COLMAP
    np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=1e-5, atol=1e-3)


def test_features_in_colmaps_frame_stay():
    features = features_of_cells(COLMAP, [(1, 2)], [0], (1.0,), (80, 60), (160, 120))
    assert in_colmap_frame(features) is features


def test_a_keypoint_off_by_two_pixels_of_the_input():
    features = features_of_cells(REFERENCE, [(0, 0)], [0], (1.0,), (80, 60), (160, 120))
    assert features.keypoints[0, :3].tolist() == [3, 3, 1]
    assert in_colmap_frame(features).keypoints[0].tolist() == [8, 8, 2, 0.25]
    none = replace(features, keypoints=features.keypoints[:0], descriptors=features.descriptors[:0])
    assert in_colmap_frame(none).keypoints.shape == (0, 4)


def test_the_fingerprint_of_moved_features_is_another():
    published = json.dumps({"extractor": "d2sfm", "convention": "reference"})
    moved = json.loads(colmap_fingerprint(published))
    assert moved == {"extractor": "d2sfm", "convention": "colmap, moved from reference"}
    assert colmap_fingerprint(json.dumps(moved)) == json.dumps(moved)
    true = json.dumps({"extractor": "d2sfm", "convention": "colmap"})
    assert colmap_fingerprint(true) == true
