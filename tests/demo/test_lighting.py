import numpy as np
import pytest

from d2sfm.demo.lighting import SKY, SUN, lit
from d2sfm.demo.scene import Quad, box

GREY = np.full((200, 200, 3), 100, np.uint8)
TO_SUN = np.array([0.0, -1.0, 1.0])  # from the front, 45 degrees high


@pytest.fixture(scope="module")
def ground_and_box() -> list[Quad]:
    """A floor of 10 x 10 m with a cube of 2 m on it, lit."""
    floor = Quad((-5, 5, 0), (10, 0, 0), (0, -10, 0), GREY)
    return lit([floor, *box((0.0, 0.0), (2.0, 2.0, 2.0), [GREY] * 5)], TO_SUN)


def colour_of_floor(quad: Quad, x: float, y: float) -> np.ndarray:
    return quad.texture[round((5 - y) * 20), round((x + 5) * 20)].astype(float)


def test_shadow_falls_where_geometry_says(ground_and_box):
    """The sun stands at 45 degrees: behind the cube (y = 1) the shadow reaches 2 m, to y = 3."""
    floor = ground_and_box[0]
    sunny = colour_of_floor(floor, 0, 3.4)
    for x, y in ((0, 1.5), (0, 2.6), (0.7, 2.6), (-0.7, 1.5)):
        assert (colour_of_floor(floor, x, y) < 0.7 * sunny).all()
    for x, y in ((1.4, 2), (-1.4, 2), (0, -1.5), (3, 3)):
        assert (colour_of_floor(floor, x, y) > 0.85 * sunny).all()


def test_brightness_follows_the_angle_to_the_sun(ground_and_box):
    """Front and top of the cube lie at 45 degrees to the sun; the back gets light of the sky only."""
    front, _, back, _, top = (quad.texture[100, 100].astype(float) for quad in ground_and_box[1:])
    np.testing.assert_allclose(top, 100 * (SKY + SUN * np.sqrt(0.5)), atol=1.5)
    assert (front > 1.7 * back).all()
    assert (back <= 100 * SKY + 1).all()


def test_corners_get_less_of_the_sky(ground_and_box):
    """Beside the cube, out of its shadow, the floor is a little darker than far from it."""
    floor = ground_and_box[0]
    beside, away = colour_of_floor(floor, 1.3, 0), colour_of_floor(floor, 4.5, -4)
    assert (beside < away - 2).all()


def test_geometry_stays(ground_and_box):
    floor = ground_and_box[0]
    np.testing.assert_array_equal(floor.corners, [[-5, 5, 0], [5, 5, 0], [5, -5, 0], [-5, -5, 0]])
    assert floor.texture.shape == GREY.shape
