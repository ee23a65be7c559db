"""Databases of two kinds of keypoints: each has a colour of its own."""

import cv2
import numpy as np
import pytest
from support.bridge_database import ADDED, NAMES, OWN, bridge, write_foreign, write_random_layer
from support.feature_database import SIZE
from support.helpers import share_of

from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.plots.palette import INLIER, OTHER_KIND
from d2sfm.show.keypoints import kinds_of, show_keypoints
from d2sfm.show.matches import show_matches


@pytest.fixture
def bridged(tmp_path):
    database = write_foreign(tmp_path / "db.db")
    added = np.array([[OWN, OWN + 1], [OWN + 1, OWN]])
    pair = BridgedPair((1, 2), added, added, None)
    bridge(database, write_random_layer(database, tmp_path / "layer.db"), [pair])
    for name in NAMES:
        cv2.imwrite(str(tmp_path / name), np.full((*SIZE[::-1], 3), 90, np.uint8))
    return database


def test_keypoints_of_both_kinds(bridged, tmp_path):
    others, d2 = kinds_of(bridged, "0.png")
    assert (others.label, len(others.keypoints)) == ("keypoints of SIFT", OWN)
    assert (d2.label, len(d2.keypoints)) == ("keypoints of D2-Net", ADDED)
    assert others.colour != d2.colour
    assert [kind.label for kind in kinds_of(bridged, NAMES[-1])] == ["keypoints of D2-Net"]


@pytest.mark.slow
def test_both_kinds_are_drawn(bridged, tmp_path):
    for found in (
        show_keypoints("0.png", bridged, images=tmp_path),
        show_matches("0.png", "1.png", bridged, images=tmp_path),
    ):
        pixels = found.pixels()
        above = pixels[: len(pixels) - 120]  # without the keys
        assert share_of(above, INLIER, 30) > 0
        assert share_of(above, OTHER_KIND, 30) > 0
    assert found.title == "0.png - 1.png: 4 of 5 matches verified"
