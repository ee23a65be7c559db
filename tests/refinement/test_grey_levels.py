"""Levels of grey values: in the right frame, blurred as they say, up to the border."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from support.grey_texture import photograph

from d2sfm.refinement.grey_levels import FINER, GREY_MIDDLE, LEVEL_VARIANCE, PIXEL_VARIANCE, REACH, GreyLevels, step_px

SIDE = 2 * FINER * REACH + 1


@pytest.mark.parametrize("level", range(6))
def test_a_slope_is_the_same_at_all_levels_and_places(level):
    """Where a level were shifted by part of a pixel, its values would be others."""
    height, width = 400, 600
    grey = np.rint(np.add.outer(np.arange(height) * 0.25, np.arange(width) * 0.125)).astype(np.uint8)
    xy = np.array([[300.0, 200.0], [280.3, 210.8], [311.99, 190.01], [304.5, 195.5]])
    squares, centres = GreyLevels(np.repeat(grey[..., None], 3, axis=2)).squares(xy, level)
    assert squares.shape == (4, SIDE, SIDE)
    assert np.abs(centres - FINER * REACH).max() <= FINER
    offsets = (np.arange(SIDE) - centres[:, :, None]) / FINER * step_px(level)  # [4, 2, S] px from xy
    x, y = xy[:, 0, None] + offsets[:, 0] - 0.5, xy[:, 1, None] + offsets[:, 1] - 0.5
    inside = ((x > 60) & (x < width - 60))[:, None] & ((y > 60) & (y < height - 60))[:, :, None]
    expected = 0.125 * x[:, None] + 0.25 * y[:, :, None] - GREY_MIDDLE
    difference = (squares.numpy() - expected)[inside]
    assert inside.mean() > 0.3
    assert abs(difference.mean()) < 0.02  # a twelfth of a pixel on the steeper axis
    assert np.abs(difference).max() < 0.75  # what rounding to whole greys can do


def test_samples_are_gaussian_sums_of_the_pixels():
    picture = photograph((90, 80))
    grey = picture[..., 0].astype(float) - GREY_MIDDLE
    for level, xy in ((0, np.array([[45.2, 40.9]])), (1, np.array([[44.5, 38.1]]))):
        squares, centres = GreyLevels(picture).squares(xy, level)
        variance = LEVEL_VARIANCE * 2**level - PIXEL_VARIANCE
        rows, columns = np.mgrid[-60:140, -60:150]  # mirrored beyond the picture
        mirrored = map_coordinates(grey, [rows, columns], order=0, mode="mirror")
        for i, j in ((50, 50), (20, 61), (0, 0), (SIDE - 1, 40)):
            x, y = xy[0] - 0.5 + (np.array([j, i]) - centres[0]) / FINER * step_px(level)
            weights = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / variance)
            expected = (weights * mirrored).sum() / weights.sum()
            assert squares[0, i, j] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 2)])
def test_small_pictures_and_places_at_their_border(size):
    levels, xy = GreyLevels(np.full((*size[::-1], 3), 200, np.uint8)), np.array([[0.0, 0.0], size, [-50.0, 900.0]])
    for level in range(5):
        squares, centres = levels.squares(xy, level)
        np.testing.assert_allclose(squares, 200 - GREY_MIDDLE, atol=1e-3)
        assert np.isfinite(centres).all()


def test_no_place_is_a_shape():
    squares, centres = GreyLevels(photograph((30, 20))).squares(np.zeros((0, 2)), 0)
    assert squares.shape == (0, SIDE, SIDE)
    assert centres.shape == (0, 2)
