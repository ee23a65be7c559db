import numpy as np
import pytest

from d2sfm.plots.canvas import sequence
from d2sfm.plots.pair_matrix import LARGEST_PX, MARGIN_PX, draw_pair_matrix
from d2sfm.plots.palette import DARK, LIGHT, OUTLIER


def cells_of(picture, count, cell=LARGEST_PX):
    """A corner of each cell, where neither a number nor a dot is, [count, count, 3]."""
    corner = len(picture) - MARGIN_PX - count * cell
    places = corner + cell * np.arange(count) + 4
    return picture[np.ix_(places, places)]


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_each_pair_has_the_colour_of_its_number(theme):
    inliers = np.full((4, 4), -1)
    for a, b, number in ((0, 1, 16), (0, 2, 256), (1, 3, 64), (2, 3, 0)):
        inliers[a, b] = inliers[b, a] = number
    picture = draw_pair_matrix(["a", "b", "c", "d"], inliers, theme)
    cells = cells_of(picture, 4)
    np.testing.assert_array_equal(cells, cells.swapaxes(0, 1))
    low, middle, high = sequence(np.array([0, 0.5, 1])).tolist()
    assert cells[0, 1].tolist() == low
    assert cells[1, 3].tolist() == middle  # by the logarithm
    assert cells[0, 2].tolist() == high
    assert cells[0, 0].tolist() == list(theme.background)
    for a, b in ((0, 3), (2, 3)):
        assert cells[a, b].tolist() == list(theme.grid)
    dots = (np.abs(picture.astype(int) - OUTLIER).max(axis=2) < 20).nonzero()
    corner = len(picture) - MARGIN_PX - 4 * LARGEST_PX
    assert set(map(tuple, ((np.transpose(dots) - corner) // LARGEST_PX).tolist())) == {(2, 3), (3, 2)}


def test_names_are_beside_rows_and_above_columns_and_are_read_from_below():
    empty, longest = np.full((4, 4), -1), "Largest"
    named, without = (draw_pair_matrix([longest, name, "", ""], empty) for name in ("Rb", ""))
    changed = (named != without).any(axis=2)
    corner = len(named) - MARGIN_PX - 4 * LARGEST_PX
    second = slice(corner + LARGEST_PX, corner + 2 * LARGEST_PX)
    beside, above = changed[second, :corner], changed[:corner, second]
    assert changed.sum() == beside.sum() + above.sum()
    written, turned = (each[np.ix_(each.any(axis=1), each.any(axis=0))] for each in (beside, np.rot90(above, -1)))
    np.testing.assert_array_equal(written, turned)
    assert above[-10:].any()  # it begins at the matrix


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 150, 1200])
def test_pictures_of_any_number_of_images_have_a_size_for_a_screen(count):
    picture = draw_pair_matrix([f"image_{number}.jpg" for number in range(count)], np.full((count, count), 20))
    assert len(picture) < 2800
