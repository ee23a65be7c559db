import numpy as np
import pytest

from d2sfm.plots.residuals import arrow_scale, draw_residuals

BLACK = np.zeros((120, 160, 3), np.uint8)
NONE = np.zeros((0, 2))


def ends(picture):
    """First and last column and row that differ from the empty picture."""
    rows, columns = np.nonzero((picture.astype(int) > 60).any(axis=2))
    return columns.min(), columns.max(), rows.min(), rows.max()


@pytest.mark.parametrize("scale", [1, 10, 20])
def test_arrows_go_from_the_keypoint_and_are_so_many_times_as_long(scale):
    start, residual = np.array([[30.5, 40.5]]), np.array([[4.0, 2.0]])
    left, right, top, bottom = ends(draw_residuals(BLACK, start, residual, NONE, scale, 5.0))
    assert (left, top) == pytest.approx((30, 40), abs=3)
    assert (right, bottom) == pytest.approx((30 + 4 * scale, 40 + 2 * scale), abs=3)


def test_an_arrow_to_a_point_beside_the_camera_leaves_the_picture():
    start = np.array([[30.5, 60.5]])
    for far in (1e3, 1e12):
        picture = draw_residuals(BLACK, start, np.array([[far, 0.0]]), NONE, 10, 5.0)
        left, right, top, bottom = ends(picture)
        assert (left, right) == (pytest.approx(30, abs=3), 159)
        assert bottom - top < 8  # of the disc and the line: no tip is seen


def test_large_residuals_are_yellow_and_small_ones_violet():
    starts, residuals = np.array([[30.5, 30.5], [30.5, 90.5]]), np.array([[40.0, 0], [0.5, 0]])
    picture = draw_residuals(BLACK, starts, residuals, NONE, 1, 40.0).astype(int)
    (red, green, blue), small = picture[30, 50], picture[90, 30]
    assert min(red, green) > blue + 100
    assert small[2] > small[1] + 60


def test_other_keypoints_are_grey_dots():
    picture = draw_residuals(BLACK, NONE, NONE, np.array([[80.5, 60.5]]), 1, 1.0)
    left, right, top, bottom = ends(picture)
    assert left <= 80 <= right <= left + 4
    assert top <= 60 <= bottom <= top + 4
    assert np.ptp(picture[60, 80].astype(int)) < 20


@pytest.mark.parametrize(("error", "expected"), [(0.1, 200), (0.5, 50), (2.0, 10), (400.0, 1)])
def test_the_scale_makes_a_large_residual_a_fortieth_of_the_width(error, expected):
    found = arrow_scale(np.array([[error, 0.0]] * 19 + [[100 * error, 0.0]]), 1000)
    assert found == pytest.approx(expected)
    assert arrow_scale(NONE, 1000) == arrow_scale(np.zeros((3, 2)), 1000) == 1
