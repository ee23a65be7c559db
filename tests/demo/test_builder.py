import numpy as np
import pytest

from d2sfm.demo.builder import Builder


def plain(rng, shape, scale):
    return np.full((*shape, 3), 100, np.float32)


def red(rng, shape):
    return np.broadcast_to(np.array([200, 0, 0], np.uint8), (*shape, 3))


@pytest.fixture
def builder() -> Builder:
    return Builder(np.random.default_rng(0), scale=20.0)


def test_sizes_of_textures_follow_the_scale(builder):
    front, right, _, _, top = builder.box((0, 0), (3.0, 2.0, 1.0), plain)
    assert front.texture.shape == (20, 60, 3)
    assert right.texture.shape == (20, 40, 3)
    assert top.texture.shape == (40, 60, 3)
    assert builder.quad((0, 0, 0), (0, 2, 0), (0, 0, -1.5), plain).texture.shape == (30, 40, 3)


def test_decorations_and_tops_go_where_they_are_named(builder):
    def painted(wall):
        return np.full_like(wall, 250)

    def dark(rng, shape, scale):
        return np.full((*shape, 3), 7, np.float32)

    sides = builder.box((0, 0), (1.0, 1.0, 1.0), plain, dark, right=painted)
    assert [side.texture.mean() for side in sides] == [100, 250, 100, 100, 7]


def test_ornaments_are_put_by_metres_from_the_lower_left(builder):
    wall = builder.put(np.zeros((60, 100, 3), np.float32), red, left_m=1.0, bottom_m=0.5, width_m=2.0, height_m=1.0)
    rows, columns = np.nonzero(wall[..., 0])
    assert (columns.min(), columns.max()) == (20, 59)
    assert (rows.min(), rows.max()) == (60 - 10 - 20, 60 - 10 - 1)


def test_windows_stand_in_columns_on_their_sills(builder):
    blank = np.zeros((60, 100, 3), np.float32)
    wall = builder.windows(blank, 2, [1.0], (0.8, 1.2))
    changed = wall.any(axis=2)
    assert not blank.any()
    assert not changed[:, 46:54].any()  # between the two
    rows = np.nonzero(changed[:, 25])[0]
    assert rows.min() == pytest.approx(60 - 20 * (1.0 + 1.2 + 0.2), abs=1)  # the lintel's top
    assert rows.max() + 1 == pytest.approx(60 - 20 * (1.0 - 0.12), abs=1)  # the sill's bottom


def test_posters_stay_between_their_heights(builder):
    wall = builder.posters(np.zeros((80, 60, 3), np.float32), 6, 0.5, 1.0)
    rows = np.nonzero(wall.any(axis=2))[0]
    assert rows.max() <= 80 - 0.5 * 20
    assert rows.min() >= 80 - (1.0 + 0.95) * 20 - 2


@pytest.mark.parametrize("turn_deg", [0.0, 40.0])
def test_a_roof_rises_from_the_front_between_its_gables(builder, turn_deg):
    slope, *gables = builder.roof((2.0, 5.0), (6.0, 4.0, 2.0), 3.0, turn_deg, plain, plain)
    ridge, eaves = slope.corners[:2].mean(axis=0), slope.corners[2:].mean(axis=0)
    assert (ridge[2], eaves[2]) == pytest.approx((5.0, 3.0))
    forwards = np.array([np.sin(np.radians(turn_deg)), -np.cos(np.radians(turn_deg))])
    assert (eaves - ridge)[:2] @ forwards == pytest.approx(0.7 * 4.0)
    assert slope.normal[2] > 0
    assert slope.normal[:2] @ forwards > 0
    assert len(gables) == 2 * 2 * 5
    reach = np.concatenate([gable.corners for gable in gables])
    assert (reach[:, 2].min(), reach[:, 2].max()) == pytest.approx((3.0, 3.0 + 1.05 * 2.0))
