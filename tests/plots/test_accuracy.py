import numpy as np

from d2sfm.plots.accuracy import COLOURS, draw_accuracy


def rows_of(picture, colour):
    """Rows above the legend that have about this colour."""
    return np.unique(np.argwhere(np.abs(picture[:350].astype(int) - colour).max(axis=2) <= 30)[:, 0])


def test_each_method_has_a_curve_as_high_as_its_shares():
    picture = draw_accuracy({"all": {"low": [0.1] * 10, "high": [0.9] * 10}})
    assert picture.shape == (420, 440, 3)
    assert picture.dtype == np.uint8
    low, high = (rows_of(picture, colour).mean() for colour in COLOURS[:2])
    assert 200 < low - high < 350


def test_panels_stand_beside_each_other():
    curve = {"one": [0.0, 0.5, 1.0]}
    assert draw_accuracy({"light": curve, "viewpoint": curve, "all": curve}).shape == (420, 3 * 440, 3)
