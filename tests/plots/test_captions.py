import numpy as np
import pytest
from support.helpers import share_of

from d2sfm.plots.captions import Key, Ramp, captioned
from d2sfm.plots.palette import DARK, INLIER, LIGHT, OUTLIER

BLANK = np.full((30, 500, 3), 7, np.uint8)


def test_text_stands_below_the_picture_which_stays():
    found = captioned(BLANK, "a.jpg: 3 keypoints")
    np.testing.assert_array_equal(found[:30], BLANK)
    assert (found[30:] != DARK.background).any(axis=2).sum() > 100
    light = captioned(BLANK, "a.jpg: 3 keypoints", theme=LIGHT)
    assert light.shape == found.shape
    assert light[30, 0].tolist() == list(LIGHT.background)


def test_keys_have_their_colours_and_arrows_their_length():
    keys = [Key("yes", INLIER), Key("no", OUTLIER), Ramp("low", "high")]
    found = captioned(BLANK, "title", keys)[30:]
    assert share_of(found, INLIER, 15) > 0
    assert share_of(found, OUTLIER, 15) > 0
    assert len({tuple(colour) for row in found for colour in row.tolist()}) > 200
    arrow = captioned(BLANK, "title", [Key("2 px", INLIER, 90.0)])[30:].astype(int)
    columns = np.flatnonzero((np.abs(arrow - INLIER).max(axis=2) < 60).any(axis=0))
    assert np.ptp(columns) == pytest.approx(90, abs=4)


def test_what_is_too_long_loses_its_middle_and_keys_get_lines_of_their_own():
    one, many = (captioned(BLANK, "t", count * [Key("something verified", INLIER)]) for count in (1, 6))
    assert len(many) > len(one) + 20
    long = captioned(BLANK, 300 * "name ")
    assert (long[30:, -3:] == DARK.background).all()
    assert (long[30:, 400:480] != DARK.background).any()


@pytest.mark.parametrize("width", [1, 40, 120])
def test_a_ramp_that_a_narrow_picture_has_no_room_for_is_cut_off(width):
    found = captioned(np.full((30, width, 3), 7, np.uint8), "t", [Ramp("a long name of the low end", "high")])
    assert found.shape[1] == width


@pytest.mark.filterwarnings("error")
def test_names_of_any_letters():
    """What is mathematics to Matplotlib, steers terminals, or is no letter of its font."""
    plain, formula = (captioned(BLANK, text) for text in ("a_b.jpg", "$a_b$.jpg"))
    assert (plain != formula).any()
    captioned(BLANK, "\u6771\u4eac \x1b[31m\n\udce9 $\\frac$.jpg")
