import cv2
import numpy as np
import pytest
from support.helpers import centroid, gaussian_blobs, scene_of, simple_camera, wall
from support.rendered_truth import depth_at, transfer, unproject

from d2sfm.demo.rendering import bilinear, photograph, render
from d2sfm.demo.scene import Quad, Scene, arc_of_views, box, look_at, project
from d2sfm.demo.square import CENTRE

GREY = np.full((4, 4, 3), 128, np.uint8)


def views(count: int):
    return arc_of_views(CENTRE, count, size=(320, 240))


def noise_texture(edge: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (edge, edge, 3), dtype=np.uint8)


def nearest_surface_one_by_one(scene: Scene, camera, x: float, y: float) -> float:
    """Depth at one pixel, by solving for each rectangle on its own: origin + u edge_u + v edge_v = centre + z ray."""
    ray = camera.rotation.T @ ((x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, 1)
    depths = []
    for quad in scene.quads:
        u, v, z = np.linalg.solve(np.stack([quad.edge_u, quad.edge_v, -ray], axis=1), camera.centre - quad.origin)
        if 0 <= u <= 1 and 0 <= v <= 1 and z > 0:
            depths.append(z)
    return min(depths, default=0.0)


def test_depth_of_a_wall_straight_ahead():
    depth = render(scene_of(wall(7.5, GREY)), simple_camera()).depth
    np.testing.assert_allclose(depth, 7.5, rtol=1e-12)


def test_depth_of_the_ground():
    """2 m below the camera the ground lies at z = 2 f / (y - cy), and above the horizon there is only sky."""
    ground = Quad((-500, 1000, -2), (1000, 0, 0), (0, -1000, 0), GREY)
    depth = render(scene_of(ground), simple_camera()).depth
    rows = np.arange(80) + 0.5
    assert not depth[:40].any()
    expected = 2 * 100 / (rows[42:] - 40)
    np.testing.assert_allclose(depth[42:], np.repeat(expected[:, None], 120, axis=1), rtol=1e-9)


@pytest.mark.slow
def test_depth_equals_rays_cast_one_by_one(square):
    camera = views(14)[9]
    depth = render(square, camera, samples=1).depth
    for x, y in np.random.default_rng(0).integers((0, 0), (320, 240), (40, 2)):
        expected = nearest_surface_one_by_one(square, camera, x + 0.5, y + 0.5)
        assert depth[y, x] == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_depth_at_pixel_centres_is_the_depth_picture(square):
    camera = views(3)[0]
    depth = render(square, camera, samples=1).depth
    x, y = np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5)
    cast = depth_at(square, camera, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(depth.shape)
    np.testing.assert_allclose(cast, depth, rtol=1e-9)
    assert depth_at(square, camera, np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize("distance_m", [1.0, 2.0, 4.0])
def test_a_blob_shows_up_where_it_is_projected(distance_m):
    """Its centre is known on the wall; seen at a slant it is found within 0.1 px, from near and from far."""
    texture, [(x, y)] = gaussian_blobs((800, 800), spacing_px=400, sigma_px=5)
    surface = wall(0, texture, (4.0, 4.0))
    centre = surface.origin + x / 800 * surface.edge_u + y / 800 * surface.edge_v
    rotation, translation = look_at(centre + np.array([0.3, -0.9, 0.2]) * distance_m, centre, roll_deg=11)
    camera = simple_camera(rotation=rotation, translation=translation)
    expected = project(camera, centre[None])[0]
    found = centroid(render(scene_of(surface), camera, samples=3).image, expected, radius_px=3 + 10 / distance_m)
    assert np.abs(found - expected).max() < 0.1


def test_the_far_picture_is_the_near_one_made_smaller():
    """No aliasing: a wall of noise four times as far away looks like the mean over 4 x 4 px of the near picture."""
    texture = cv2.resize(noise_texture(256), (1024, 1024), interpolation=cv2.INTER_LINEAR)
    near = render(scene_of(wall(5, texture, (12, 12))), simple_camera(fx=400.0, fy=400.0)).image
    far = render(scene_of(wall(20, texture, (12, 12))), simple_camera(fx=400.0, fy=400.0)).image
    mean = cv2.resize(near, (30, 20), interpolation=cv2.INTER_AREA)
    difference = far[30:50, 45:75].astype(float) - mean
    assert np.abs(difference.mean()) < 1
    assert difference.std() < 0.5 * mean.std()
    assert far[30:50, 45:75].std() < 1.1 * mean.std()


def test_texels_lie_at_their_centres():
    """Texel (row 1, column 2) of 4 x 4 has its centre at u = 2.5 / 4, v = 1.5 / 4."""
    texture = noise_texture(4)
    np.testing.assert_allclose(bilinear(texture, np.array([2.5 / 4]), np.array([1.5 / 4]))[0], texture[1, 2], atol=1e-4)
    between = bilinear(texture, np.array([3 / 4]), np.array([1.5 / 4]))[0]
    np.testing.assert_allclose(between, texture[1, 2:4].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(bilinear(texture, np.array([1.0]), np.array([0.0]))[0], texture[0, 3], atol=1e-4)


def test_the_nearer_surface_hides_the_farther():
    red, blue = np.full((2, 2, 3), (250, 0, 0), np.uint8), np.full((2, 2, 3), (0, 0, 250), np.uint8)
    near, far = wall(4, red, (2, 8)), wall(8, blue)
    for quads in ((near, far), (far, near)):
        picture = render(scene_of(*quads), simple_camera())
        assert tuple(picture.image[40, 60]) == (250, 0, 0)
        assert tuple(picture.image[40, 10]) == (0, 0, 250)
        assert picture.depth[40, 60] == pytest.approx(4)
        assert picture.depth[40, 10] == pytest.approx(8)


def test_what_lies_behind_the_camera_is_not_seen():
    ground = Quad((-50, -5, -2), (100, 0, 0), (0, -40, 0), GREY)
    assert not render(scene_of(ground, wall(-3, GREY)), simple_camera()).depth.any()


def test_the_sky_fades_from_the_horizon_upwards():
    scene = Scene([], sky=np.array([[200, 200, 200], [0, 100, 200.0]]), centre=np.zeros(3), extent_m=1.0)
    picture = render(scene, simple_camera())
    assert not picture.depth.any()
    assert tuple(picture.image[60, 60]) == (200, 200, 200)
    assert picture.image[0, 60, 0] < picture.image[20, 60, 0] < 200


@pytest.mark.slow
def test_transfer_to_the_same_view_is_the_identity(square):
    camera = views(3)[1]
    xy = np.random.default_rng(1).uniform((0, 0), (320, 240), (200, 2))
    same, visible = transfer(square, camera, camera, xy)
    ground = depth_at(square, camera, xy) > 0
    np.testing.assert_array_equal(visible, ground)
    np.testing.assert_allclose(same[ground], xy[ground], atol=1e-8)
    assert np.isnan(same[~ground]).all()


@pytest.mark.slow
def test_transfer_there_and_back(square):
    a, b = views(14)[5:7]
    xy = np.random.default_rng(2).uniform((0, 0), (320, 240), (300, 2))
    in_b, seen_by_b = transfer(square, a, b, xy)
    back, seen_by_a = transfer(square, b, a, in_b[seen_by_b])
    assert seen_by_b.mean() > 0.4
    assert seen_by_a.all()
    np.testing.assert_allclose(back, xy[seen_by_b], atol=1e-6)


def test_transfer_sees_occlusion():
    """Camera b has moved aside, so that a box hides the middle of the wall from it, and the edges leave its picture."""
    scene = scene_of(wall(10, GREY), *box((-1.0, 5.0), (1.0, 0.2, 3.0), [GREY] * 5, bottom_m=-1.5))
    a, b = simple_camera(), simple_camera(translation=np.array([2.0, 0, 0]))
    xy, visible = transfer(scene, a, b, np.array([[60.0, 40.0], [75.0, 40.0], [5.0, 40.0], [40.0, 40.0]]))
    # By hand: b stands at x = -2, so a point of the wall moves by 2 * 100 / 10 = 20 px, one of the box by 40.8 px.
    np.testing.assert_allclose(xy[:3, 0], [80, 95, 25], atol=1e-9)
    np.testing.assert_array_equal(visible, [False, True, True, True])
    assert xy[3, 0] == pytest.approx(40 + 2 * 100 / 4.9)
    outside, visible = transfer(scene, a, b, np.array([[115.0, 40.0]]))
    assert outside[0, 0] == pytest.approx(135)
    assert not visible[0]


@pytest.mark.slow
def test_transfer_of_nothing(square):
    a, b = views(2)
    xy, visible = transfer(square, a, b, np.zeros((0, 2)))
    assert xy.shape == (0, 2)
    assert visible.shape == (0,)


@pytest.mark.slow
def test_two_views_agree_in_colour(square):
    """At points that both see, away from edges of depth, the pictures differ little, and far less than by chance."""
    a, b = views(14)[6:8]
    picture_a, picture_b = render(square, a), render(square, b)
    x, y = np.meshgrid(np.arange(4, 316, 3), np.arange(4, 236, 3))
    xy = np.stack([x.ravel(), y.ravel()], axis=1) + 0.5
    in_b, visible = transfer(square, a, b, xy)
    smooth_a, smooth_b = (cv2.GaussianBlur(p.image, (0, 0), 1.5).astype(np.float32) for p in (picture_a, picture_b))
    colours_a = bilinear(smooth_a, xy[visible, 0] / 320, xy[visible, 1] / 240)
    colours_b = bilinear(smooth_b, in_b[visible, 0] / 320, in_b[visible, 1] / 240)
    difference = np.abs(colours_a - colours_b).mean(axis=1)
    by_chance = np.abs(colours_a - np.roll(colours_b, 37, axis=0)).mean(axis=1)
    assert np.median(difference) < 5
    assert np.median(difference) < 0.15 * np.median(by_chance)


@pytest.mark.slow
def test_depth_of_neighbouring_views_agrees(square):
    """Points of one view's depth picture lie on what the other sees, wherever nothing is in front."""
    a, b = views(14)[3:5]
    depth = render(square, a, samples=1).depth
    rows, columns = np.nonzero(depth[::7, ::7])
    xy = np.stack([columns, rows], axis=1) * 7 + 0.5
    points = unproject(a, xy, depth[::7, ::7][rows, columns])
    in_b, visible = transfer(square, a, b, xy)
    np.testing.assert_allclose(project(b, points), in_b, atol=1e-6)
    assert visible.mean() > 0.4


@pytest.mark.slow
def test_rendering_repeats(coarse_squares):
    camera = views(2)[0]
    first, again, other = (render(square, camera).image for square in coarse_squares)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


@pytest.mark.slow
def test_photograph_repeats_and_stays_close(square):
    image = render(square, views(2)[1], samples=1).image
    first, second = (photograph(image, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint8
    assert 0.5 < np.abs(first.astype(float) - image).mean() < 20
