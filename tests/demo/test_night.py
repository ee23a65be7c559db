import numpy as np
import pytest
from support.helpers import scene_of, simple_camera, wall

from d2sfm.demo import lighting
from d2sfm.demo.exposure import HEADROOM, encoded, linear, photograph_by_night
from d2sfm.demo.night import BOUNCE, LAMP, POSTS, SKYLIGHT, build_square_by_day_and_night, by_lamplight
from d2sfm.demo.rendering import render
from d2sfm.demo.scene import Quad, arc_of_views, box

GREY = np.full((100, 100, 3), 186, np.uint8)  # half of the light
LIGHT = np.array([0.0, 0.0, 2.0])


def light_of(texture: np.ndarray) -> np.ndarray:
    return HEADROOM * linear(texture)


@pytest.fixture(scope="module")
def floor_and_box() -> list[Quad]:
    """A floor of 10 x 10 m, 2 m under a lamp over its middle, with a cube of 1 m that stands 1 to 2 m to the right."""
    floor = Quad((-5, 5, 0), (10, 0, 0), (0, -10, 0), GREY)
    return by_lamplight([floor, *box((1.5, 0.0), (1.0, 1.0, 1.0), [GREY] * 5)], [], LIGHT[None])


@pytest.fixture(scope="module")
def coarse_night():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lighting, "SUN_CELLS", (1.0, 24))
        patch.setattr(lighting, "SKY_CELLS", (4.0, 6))
        return [build_square_by_day_and_night(0, texels_per_m=6) for _ in range(2)]


def test_light_falls_off_with_the_square_of_the_distance_and_with_the_slant(floor_and_box):
    """2 m away and from straight above, and at 2 m to the left from 45 degrees: the square root of 8 m away."""
    floor = light_of(floor_and_box[0].texture) - 0.5 * (SKYLIGHT + BOUNCE)
    np.testing.assert_allclose(floor[50, 50], 0.5 * LAMP / 4, rtol=0.07)
    np.testing.assert_allclose(floor[50, 30], 0.5 * LAMP / 8 * np.sqrt(0.5), rtol=0.07)


def test_shadows_fall_away_from_the_lamp(floor_and_box):
    """The cube's top is at half of the lamp's height: its shadow ends 4 m from the middle."""
    floor, front, right, _, left, top = (light_of(quad.texture)[..., 0] for quad in floor_and_box)
    for x in (2.3, 3.5):
        assert floor[50, round(10 * (x + 5))] < 0.1 * floor[50, round(10 * (5 - x))]
    assert floor[50, 93] == pytest.approx(floor[50, 7], rel=0.15)
    assert left.mean() > 10 * right.mean()
    assert top.mean() > 10 * right.mean()
    assert front.mean() < 0.1 * left.mean()  # the lamp stands behind its plane


def test_lit_glass_shines_and_dark_glass_does_not():
    """Without a lamp; the third is bare wall."""
    glow = np.concatenate([np.full((30, 10), value, np.uint8) for value in (255, 1, 0)], axis=1)
    quad, away = wall(5, np.dstack([GREY[:30, :30], glow])), box((0.0, 90.0), (1.0, 1.0, 1.0), [GREY] * 5)
    lit, dark, bare = np.split(light_of(by_lamplight([quad, *away], [], np.zeros((0, 3)))[0].texture), 3, axis=1)
    assert quad.texture.shape == (30, 30, 3)
    assert lit.mean() > 20 * bare.mean()
    assert dark.mean() < bare.mean()


def test_a_texture_holds_light_up_to_its_headroom():
    light = np.geomspace(0.01, HEADROOM, 30)
    np.testing.assert_allclose(light_of(np.rint(encoded(light)).astype(np.uint8)), light, rtol=0.1)
    assert encoded(np.array([2 * HEADROOM])) == 255


def test_noise_at_night_is_that_of_counted_electrons():
    """Darker is noisier in proportion; the same generator gives the same picture, another one another exposure."""
    image = np.repeat(np.rint(encoded(np.array([0.01, 0.3]))).astype(np.uint8), 40 * 20).reshape(2, 40, 20)
    image = np.concatenate(list(image), axis=1)[..., None].repeat(3, axis=2)
    first, same, other = (photograph_by_night(image, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert abs(first.mean() - other.mean()) > 1
    dark, bright = (linear(part) for part in (first[5:-5, 3:15], first[5:-5, 25:37]))
    assert bright.std() / bright.mean() == pytest.approx(1 / np.sqrt(3000 * bright.mean()), rel=0.2)
    assert dark.std() / dark.mean() > 4 * bright.std() / bright.mean()


def test_lamps_have_a_halo():
    texture = np.zeros((20, 20, 3), np.uint8)
    texture[9:11, 9:11] = 255
    picture = render(scene_of(wall(4, texture, (2, 2))), simple_camera(width=120, height=80)).image
    taken = photograph_by_night(picture, np.random.default_rng(0)).astype(float)
    assert taken[38:42, 58:62].min() > 240
    beside, away = taken[36:44, 64:66].mean(), taken[36:44, 80:84].mean()
    assert beside > away + 5


@pytest.mark.slow
def test_day_and_night_differ_in_light_alone(coarse_night, coarse_squares):
    """The same rectangles, those of the plain square first; posts and lanterns follow."""
    (day, night), _ = coarse_night
    for one, other in zip(day.quads, night.quads, strict=True):
        np.testing.assert_array_equal(one.corners, other.corners)
        assert one.texture.shape == other.texture.shape
    plain = coarse_squares[0].quads
    assert len(day.quads) == len(plain) + 20 * len(POSTS)
    for one, other in zip(day.quads, plain, strict=False):
        np.testing.assert_array_equal(one.corners, other.corners)
    camera = arc_of_views(day.centre, 6, (120, 90))[2]
    by_day, by_night = (render(scene, camera, samples=1) for scene in (day, night))
    np.testing.assert_array_equal(by_day.depth, by_night.depth)
    assert by_night.image.mean() < 0.6 * by_day.image.mean()
    sky = by_night.image[by_night.depth == 0]
    assert (sky[:, 2] > sky[:, 0]).all()


@pytest.mark.slow
def test_the_night_is_the_same_each_time(coarse_night):
    for one, again in zip(coarse_night[0], coarse_night[1], strict=True):
        for first, second in zip(one.quads, again.quads, strict=True):
            np.testing.assert_array_equal(first.texture, second.texture)
