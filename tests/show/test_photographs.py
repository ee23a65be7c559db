"""Photographs upright, and positions with them."""

import numpy as np
import pytest
from PIL import ExifTags, Image
from support.helpers import centroid

from d2sfm.show.photographs import Photographs

SPOT = np.array([31.5, 8.5])  # of the photograph as it is stored, which is 60 x 40 px


@pytest.fixture
def folder(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[7:10, 30:33] = 255
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(pixels).save(tmp_path / f"{orientation}.png", exif=exif)
    return tmp_path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("longest", [60, 240, 30])
def test_positions_follow_the_picture_that_is_turned_by_exif(folder, orientation, longest):
    view = Photographs(folder).view(f"{orientation}.png", longest)
    assert view.pixels.shape[:2] == tuple(longest * np.array((60, 40) if orientation > 4 else (40, 60)) // 60)
    assert view.size == (60, 40)
    [placed] = view.place(SPOT)
    np.testing.assert_allclose(centroid(view.pixels, placed, longest / 10), placed, atol=0.15)


def test_what_extraction_found_out_counts_more_than_exif(folder):
    view = Photographs(folder, {"1.png": 8}).view("1.png", 60)
    assert view.pixels.shape[:2] == (60, 40)
    [placed] = view.place(SPOT)
    np.testing.assert_allclose(centroid(view.pixels, placed, 6), placed, atol=0.15)
