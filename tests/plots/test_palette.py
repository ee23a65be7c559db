from itertools import combinations

import cv2
import numpy as np
import pytest

from d2sfm.plots import palette

# What the three kinds of dichromats see, of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "all": np.eye(3),
}
TOGETHER = (
    {"INLIER", "OUTLIER", "OTHER_KIND"},
    {"RECOVERED", "BY_NIGHT", "TRUE"},
    {"RECOVERED", "TRUE", "FAINT"},  # with a ring of INLIER, which its form tells
    {"RECOVERED", "INLIER", "SHADOW"},
)


def lightness_and_colour(colour, seen):
    """In CIELAB as somebody sees it."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    found = np.clip(np.array(SEEN[seen]) @ linear, 0, 1)
    encoded = np.where(found <= 0.0031308, 12.92 * found, 1.055 * found ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(np.float32(encoded)[None, None], cv2.COLOR_RGB2LAB)[0, 0]


@pytest.mark.parametrize("seen", SEEN)
def test_colours_of_a_picture_are_told_apart_by_anybody(seen):
    """A difference of 2 is seen side by side; of 30, by everyone at a glance."""
    for names in TOGETHER:
        for first, second in combinations(sorted(names), 2):
            one, other = (lightness_and_colour(getattr(palette, name), seen) for name in (first, second))
            assert np.linalg.norm(one - other) > 30, (first, second)


def contrast(text, background):
    """Of two colours, as guidelines for web pages compute it."""
    low, high = sorted(
        np.array([0.2126, 0.7152, 0.0722]) @ (np.array(colour) / 255) ** 2.2 for colour in (text, background)
    )
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [palette.DARK, palette.LIGHT])
def test_text_is_read_on_its_background(theme):
    """The contrast that guidelines for web pages ask for, 7 to 1."""
    assert contrast(theme.text, theme.background) > 7


@pytest.mark.parametrize("theme", [palette.DARK_PAGE, palette.LIGHT_PAGE])
def test_text_of_a_report_is_read_on_all_that_is_behind_it(theme):
    """7 to 1, and the 4.5 that the guidelines ask at least for words that stand out or stay in the background."""
    for behind in (theme.bg, theme.panel, theme.stage, theme.mark):
        assert contrast(theme.ink, behind) > 7
        assert min(contrast(colour, behind) for colour in (theme.quiet, theme.accent, theme.warm, theme.good)) > 4.5
