from functools import partial

import numpy as np
import pytest

from d2sfm.demo import ornaments

DRAWERS = [
    ornaments.poster,
    lambda rng, shape: ornaments.window(rng, shape, (230, 220, 200))[..., :3],
    partial(ornaments.door, colour=(50, 90, 70)),
    partial(ornaments.sign, text="CAFE", colour=(50, 90, 70), ink=(240, 220, 150)),
]


@pytest.mark.parametrize("draw", DRAWERS)
def test_ornaments_repeat_by_seed_and_differ_between_seeds(draw):
    first, same, other = (draw(np.random.default_rng(seed), (90, 60)) for seed in (0, 0, 1))
    assert first.shape == (90, 60, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, same)
    assert (first != other).mean() > 0.3


@pytest.mark.parametrize("draw", DRAWERS)
def test_ornaments_of_any_size(draw):
    for shape in ((2, 2), (3, 40), (40, 3)):
        assert draw(np.random.default_rng(0), shape).shape == (*shape, 3)


def test_windows_know_their_glass():
    """The frame has none; what is pasted over a window covers its glass."""
    window = ornaments.window(np.random.default_rng(0), (90, 60), (230, 220, 200))
    glass = window[..., 3] == 255
    assert 0.5 < glass.mean() < 0.9
    assert not glass[0].any()
    assert not window[~glass, 3].any()
    wall = ornaments.pasted(np.zeros((100, 80, 4), np.float32), window, 10, 5)
    covered = ornaments.pasted(wall, np.full((95, 10, 3), 9, np.uint8), 10, 0)
    np.testing.assert_array_equal(wall[5:95, 10:70, 3] == 255, glass)
    np.testing.assert_array_equal(covered[5:95, 20:70, 3] == 255, glass[:, 10:])
    assert not covered[:, :20, 3].any()


def test_what_hangs_over_the_edge_is_cut_off():
    wall, patch = np.zeros((10, 12, 3), np.float32), np.full((4, 4, 3), 200, np.uint8)
    for left, top, count in ((2, 3, 16), (-2, -3, 2), (10, 8, 4), (-4, 0, 0), (12, 0, 0), (0, -9, 0), (0, 30, 0)):
        assert (ornaments.pasted(wall, patch, left, top)[..., 0] == 200).sum() == count
    assert not wall.any()


def test_writing_fills_its_box_and_stays_inside():
    image = np.zeros((100, 300, 3), np.uint8)
    ornaments.write(image, "SQUARE", (50, 20, 200, 60), (255, 255, 255), ornaments.FONTS[0])
    rows, columns = np.nonzero(image[..., 0] > 128)
    assert 45 <= columns.min() <= 110
    assert 190 <= columns.max() <= 255
    assert rows.min() >= 15
    assert rows.max() <= 85


def test_graffiti_stays_on_the_lower_part():
    wall = np.full((400, 200, 3), 90, np.float32)
    painted = ornaments.graffiti(np.random.default_rng(0), wall, scale=50, count=3)
    changed = np.nonzero((painted != wall).any(axis=2))[0]
    assert len(changed) > 50
    assert changed.min() > 150
