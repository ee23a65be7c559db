import numpy as np
import pytest
from support.helpers import centroid, share_of

from d2sfm.plots.keypoints import draw_keypoints, draw_matches
from d2sfm.plots.palette import INLIER, OUTLIER

BLACK = np.zeros((60, 90, 3), np.uint8)


@pytest.mark.parametrize("zoom", [1, 2, 3])
def test_keypoints_are_drawn_where_they_are(zoom):
    """The ring's centre of mass lies on the keypoint, in COLMAP's frame, at every zoom."""
    xy = np.array([30.3, 20.7])
    picture = draw_keypoints(BLACK, np.array([[*xy, 4.0, 1.0]], np.float32), zoom)
    assert picture.shape == (60 * zoom, 90 * zoom, 3)
    assert np.abs(centroid(picture, xy * zoom, 10 * zoom) - xy * zoom).max() < 0.12
    assert (picture != draw_keypoints(BLACK, np.zeros((0, 4), np.float32), zoom)).any(axis=2).sum() > 10


def test_keypoints_take_their_colour_from_the_score_and_their_size_from_the_scale():
    best_first = np.array([[20, 20, 1, 9.0], [60, 20, 1, 1.0], [20, 45, 4, 0.5]], np.float32)
    picture = draw_keypoints(BLACK, best_first, zoom=4)

    def near(x, y, radius=24):
        return picture[4 * y - radius : 4 * y + radius, 4 * x - radius : 4 * x + radius].astype(int)

    bright = near(20, 20).sum(axis=2).argmax()
    red, green, blue = near(20, 20).reshape(-1, 3)[bright]
    assert min(red, green) > blue + 60  # yellow
    assert (near(60, 20).sum(axis=(0, 1)) < near(20, 20).sum(axis=(0, 1)))[1]  # less green: violet
    assert near(20, 45).any(axis=2).sum() > 1.5 * near(60, 20).any(axis=2).sum()


def test_the_input_picture_is_left_as_it_is():
    image = np.full((40, 50, 3), 99, np.uint8)
    draw_keypoints(image, np.array([[20, 20, 1, 1]], np.float32))
    draw_matches(image, image, np.array([[20.0, 20]]), np.array([[25.0, 20]]))
    assert (image == 99).all()


def test_a_match_joins_its_two_positions():
    """The line runs from (10.5, 10.5) of the left to (70.5, 40.5) of the right picture, which begins at 90 + 8."""
    picture = draw_matches(BLACK, BLACK, np.array([[10.5, 10.5]]), np.array([[70.5, 40.5]]))
    assert picture.shape == (60, 90 + 8 + 90, 3)
    for part in np.linspace(0.02, 0.98, 9):
        x, y = np.array([10, 10]) + part * np.array([98 + 60, 30])
        assert picture[round(y) - 1 : round(y) + 2, round(x), 1].max() > 120
    assert share_of(picture, INLIER) > 0
    empty = draw_matches(BLACK, BLACK, np.zeros((0, 2)), np.zeros((0, 2)))
    rows, columns = np.nonzero((picture != empty).any(axis=2))
    assert (columns.min(), columns.max()) == pytest.approx((10, 168), abs=3)
    assert (rows.min(), rows.max()) == pytest.approx((10, 40), abs=3)


def test_inliers_are_green_and_the_rest_red():
    xy = np.array([[10.0, 10], [10.0, 50]])
    picture = draw_matches(BLACK, BLACK, xy, xy, np.array([True, False])).astype(int)
    green, red = picture[:30, :90].sum(axis=(0, 1)), picture[30:, :90].sum(axis=(0, 1))
    assert green[1] > 1.5 * green[0]
    assert red[0] > 1.5 * red[1]
    assert INLIER[1] > INLIER[0]
    assert OUTLIER[0] > OUTLIER[1]


def test_no_more_lines_than_asked_and_always_the_same():
    generator = np.random.default_rng(0)
    xy_a, xy_b = (np.stack([np.full(300, x), generator.uniform(0, 60, 300)], axis=1) for x in (5.0, 80.0))
    first, second = (draw_matches(BLACK, BLACK, xy_a, xy_b, most=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (
        0 < share_of(first, INLIER, 60) < 0.2 < share_of(draw_matches(BLACK, BLACK, xy_a, xy_b, most=300), INLIER, 60)
    )


def test_matches_of_pictures_of_different_sizes():
    picture = draw_matches(BLACK, np.full((100, 30, 3), 200, np.uint8), np.zeros((0, 2)), np.zeros((0, 2)), zoom=2)
    assert picture.shape == (200, (90 + 8 + 30) * 2, 3)
    assert (picture[:, -60:] > 100).all()
    with pytest.raises(ValueError, match="found 3 and 2 positions, 3 flags"):
        draw_matches(BLACK, BLACK, np.zeros((3, 2)), np.zeros((2, 2)))
