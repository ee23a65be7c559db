import numpy as np
import pytest

from d2sfm.evaluation.homographies import corner_error, estimated, pair_figures, projected

TRUTH = np.array([[0.9, 0.1, 12.0], [-0.05, 1.1, 4.0], [1e-4, -5e-5, 1.0]])
SIZE = (200, 150)


@pytest.fixture
def exact():
    xy = np.random.default_rng(0).uniform(0, SIZE, (60, 2))
    return xy, projected(TRUTH, xy)


def test_positions_are_projected_as_one_by_one():
    for x, y in ((0.0, 0.0), (199.0, 30.5)):
        u, v, w = TRUTH @ (x, y, 1)
        assert projected(TRUTH, np.array([[x, y]])) == pytest.approx(np.array([[u / w, v / w]]))


def test_exact_matches_give_the_homography_and_are_all_right(exact):
    figures = pair_figures(*exact, TRUTH, SIZE, max_error=1.0)
    assert figures.matches == 60
    assert figures.accuracy.tolist() == [1.0] * 10
    assert figures.corner_px < 1e-3


def test_wrong_matches_count_and_are_found(exact):
    xy_a, xy_b = exact
    moved = xy_b.copy()
    moved[:20] += (40, -25)
    moved[20:30] += (3, 4)  # 5 px: right from there on
    figures = pair_figures(xy_a, moved, TRUTH, SIZE, max_error=1.0)
    assert figures.accuracy == pytest.approx([30 / 60] * 4 + [40 / 60] * 6)
    assert figures.corner_px < 1e-2
    homography, agree = estimated(xy_a, moved, 1.0)
    assert agree.tolist() == [False] * 30 + [True] * 30
    assert homography / homography[2, 2] == pytest.approx(TRUTH, abs=0.02)  # it calculates in float32


def test_the_error_of_corners_is_the_mean_of_four():
    moved = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1.0]])
    assert corner_error(moved @ TRUTH, TRUTH, SIZE) == pytest.approx(5.0)
    one = np.diag([1.01, 1, 1])  # moves the two corners at the right, whose centres are at x 199
    assert corner_error(one, np.eye(3), SIZE) == pytest.approx(1.99 / 2)
    assert corner_error(None, TRUTH, SIZE) == np.inf


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_few_matches_give_figures_too(exact, count):
    xy_a, xy_b = (each[:count] for each in exact)
    figures = pair_figures(xy_a, xy_b, TRUTH, SIZE, max_error=1.0)
    assert figures.matches == count
    assert figures.accuracy.tolist() == [float(count > 0)] * 10
    assert (figures.corner_px == np.inf) == (count < 4)


def test_matches_on_a_point_give_no_homography():
    same = np.ones((9, 2))
    figures = pair_figures(same, same, np.eye(3), SIZE, max_error=1.0)
    assert figures.corner_px == np.inf
