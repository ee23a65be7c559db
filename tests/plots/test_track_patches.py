import numpy as np
import pytest
from support.helpers import centroid, gaussian_blobs

from d2sfm.plots.palette import INLIER, RECOVERED
from d2sfm.plots.track_patches import PATCH_PX, Observation, Patch, cut_patch, draw_track

GREY = np.full((PATCH_PX, PATCH_PX, 3), 90, np.uint8)


@pytest.mark.parametrize("side", [24, 40.0])
def test_the_middle_of_a_patch_is_the_keypoint(side):
    image, centres = gaussian_blobs((120, 100), 40, 2.0)
    for xy in centres:
        found = centroid(cut_patch(image, xy, side), np.full(2, PATCH_PX / 2), 8 * PATCH_PX / side)
        np.testing.assert_allclose(found, PATCH_PX / 2, atol=0.1 * PATCH_PX / side)


def middle(picture, colour):
    rows, columns = (np.abs(picture.astype(int) - colour).max(axis=2) < 60).nonzero()
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


def test_the_ring_lies_where_the_point_is_from_the_cross():
    """2 px to the right and 1 px up in a patch of 20 px."""
    patch = Patch(GREY, np.array([2.0, -1.0]))
    picture = draw_track([Observation([patch], ["a.jpg"])], ["before"], 20)
    offset = middle(picture, INLIER) - middle(picture, RECOVERED)
    np.testing.assert_allclose(offset, np.array([2, -1]) * PATCH_PX / 20, atol=1.5)


def test_a_point_far_off_has_no_ring():
    far, none = (draw_track([Observation([Patch(GREY, at)], ["a"])], ["before"], 20) for at in (np.full(2, 1e12), None))
    np.testing.assert_array_equal(far, none)


def test_rows_and_columns():
    patch = Patch(GREY)
    one = draw_track([Observation([patch], ["a", "b"])], ["as extracted"], 20)
    two = draw_track([Observation([None, patch], ["a", "b"])] * 2, ["before", "after"], 20)
    eight = draw_track([Observation([patch], ["a", "b"])] * 8, ["as extracted"], 20)
    assert np.subtract(two.shape[:2], one.shape[:2]).tolist() == [PATCH_PX + 10, PATCH_PX + 10]
    assert len(eight) > 2 * len(one) - 30
    assert (two[:, :PATCH_PX] != one[0, 0]).any()
