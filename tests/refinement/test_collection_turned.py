"""Keypoints of photographs that are stored turned, in pixels of the upright network input."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.coordinates import upright_from_stored, upright_size
from d2sfm.refinement.collection import ImageKeypoints


@given(st.integers(1, 8), st.integers(8, 200), st.integers(8, 200), st.integers(0, 3))
def test_positions_of_the_upright_input_and_back(orientation, width, height, seed):
    size, input_size = (3 * width, 2 * height), (width, height)
    xy = np.random.default_rng(seed).uniform(0, 1, (5, 2)) * size
    keypoints = np.column_stack([xy, np.full((5, 2), 3.0)])
    image = ImageKeypoints.of_stored(1, "a.jpg", size, input_size, orientation, keypoints)
    assert image.input_size == upright_size(input_size, orientation)
    factor = np.divide(image.input_size, upright_size(size, orientation))
    np.testing.assert_allclose((image.xy + 0.5) / factor, upright_from_stored(xy, size, orientation), atol=1e-9)
    np.testing.assert_allclose(image.in_image(image.xy), xy, atol=1e-9)
