import numpy as np

from d2sfm.plots.accuracy import COLOURS, draw_accuracy


def rows_of(picture, colour):
    """Rows above the legend that have about this colour."""
    return np.unique(np.argwhere(np.abs(picture[:350].astype(int) - colour).max(axis=2) <= 30)[:, 0])


def test_each_method_has_a_curve_as_high_as_its_shares_in_each_panel():
    curves = {"low": [0.1] * 10, "high": [0.9] * 10}
    picture = draw_accuracy({"light": curves, "viewpoint": curves})
    assert picture.shape == (420, 2 * 440, 3)
    assert picture.dtype == np.uint8
    for panel in (picture[:, :440], picture[:, 440:]):
        low, high = (rows_of(panel, colour).mean() for colour in COLOURS[:2])
        assert 200 < low - high < 350
