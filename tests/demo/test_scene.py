import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.helpers import scene_of, simple_camera, wall
from support.rendered_truth import unproject

from d2sfm.demo.rendering import plane_matrices
from d2sfm.demo.scene import Quad, arc_of_views, box, look_at, project

GREY = np.full((4, 4, 3), 128, np.uint8)


def test_project_by_hand():
    """1 m to the right of a point 4 m ahead is 25 px to the right of the principal point, 0.5 m up is 12.5 px up."""
    camera = simple_camera()
    xy = project(camera, np.array([[0, 4, 0], [1, 4, 0.5], [0, -1, 0]]))
    np.testing.assert_allclose(xy, [[60, 40], [85, 27.5], [np.nan, np.nan]], atol=1e-12)
    assert project(camera, np.zeros((0, 3))).shape == (0, 2)


@settings(max_examples=examples(50))
@given(st.floats(-3, 3), st.floats(-60, 60), st.floats(-20, 20), st.lists(st.floats(0.5, 90), min_size=1, max_size=5))
def test_unproject_and_project_are_inverse(height, azimuth_deg, roll_deg, depths):
    """A pixel lifted to its depth and projected again is the same pixel, at the same depth."""
    angle = np.radians(azimuth_deg)
    rotation, translation = look_at(np.array([9 * np.sin(angle), -9 * np.cos(angle), height]), np.zeros(3), roll_deg)
    camera = simple_camera(rotation=rotation, translation=translation, fx=130.0, cx=57.0)
    xy = np.linspace([3.0, 70.0], [110.0, 5.0], len(depths))
    points = unproject(camera, xy, np.array(depths))
    np.testing.assert_allclose(project(camera, points), xy, atol=1e-8)
    np.testing.assert_allclose((points @ rotation.T + translation)[:, 2], depths, rtol=1e-9)


def test_look_at_puts_the_target_in_the_middle_and_keeps_upright():
    centre, target = np.array([3.0, -7.0, 2.0]), np.array([0.5, 1.0, 1.5])
    rotation, translation = look_at(centre, target)
    camera = simple_camera(rotation=rotation, translation=translation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(camera.centre, centre, atol=1e-12)
    middle, above = project(camera, np.stack([target, target + np.array([0, 0, 0.1])]))
    np.testing.assert_allclose(middle, [60, 40], atol=1e-9)
    assert above[0] == pytest.approx(60)
    assert above[1] < 40


def test_roll_turns_the_picture():
    """A positive roll turns the camera clockwise, so what stood upright leans anticlockwise."""
    rotation, translation = look_at(np.array([0, -10.0, 0]), np.zeros(3), roll_deg=30)
    x, y = project(simple_camera(rotation=rotation, translation=translation), np.array([[0, 0, 1.0]]))[0]
    np.testing.assert_allclose((x, y), (60 - 10 * np.sin(np.pi / 6), 40 - 10 * np.cos(np.pi / 6)), atol=1e-9)


def test_look_at_refuses_a_vertical_view():
    with pytest.raises(ValueError, match="vertical"):
        look_at(np.array([0, 0, 5.0]), np.zeros(3))


def test_arc_of_views():
    target = np.array([1.0, -2.0, 2.0])
    cameras = arc_of_views(target, 14, (640, 480))
    assert [camera.name for camera in cameras[:2]] == ["view_00.png", "view_01.png"]
    assert len(cameras) == 14
    rays = np.stack([camera.centre - target for camera in cameras])
    distances = np.linalg.norm(rays, axis=1)
    assert np.ptp(distances) > 1.5
    assert np.ptp(rays[:, 2]) > 1.5
    cosines = (rays[1:] * rays[:-1]).sum(axis=1) / (distances[1:] * distances[:-1])
    angles = np.degrees(np.arccos(cosines))
    assert angles.min() > 8.5
    assert angles.max() < 15.5
    for camera in cameras:
        middle = project(camera, target[None])[0]
        assert np.linalg.norm(middle - (320, 240)) < 60


def test_quad_normal_faces_the_viewer():
    """wall() stands before a camera that looks along +y."""
    np.testing.assert_allclose(wall(5, GREY).normal, [0, -1, 0], atol=1e-12)


def test_quad_refuses_what_is_no_rectangle_or_no_texture():
    with pytest.raises(ValueError, match="orthogonal"):
        Quad((0, 0, 0), (1, 0, 0), (1, 1, 0), GREY)
    with pytest.raises(ValueError, match="uint8"):
        Quad((0, 0, 0), (1, 0, 0), (0, 1, 0), GREY.astype(np.float32))


def test_mip_levels_keep_the_mean():
    """Even where sizes are odd: each level has the mean colour of the texture, to the rounding of its texels."""
    texture = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    levels = wall(5, texture).mip_levels
    assert [level.shape[:2] for level in levels] == [(37, 50), (19, 25), (10, 13), (5, 7), (3, 4), (2, 2), (1, 1)]
    for level in levels:
        np.testing.assert_allclose(level.mean(axis=(0, 1)), texture.mean(axis=(0, 1)), atol=1.5)


def test_box_is_closed_and_faces_outwards():
    sides = box((2.0, 3.0), (1.0, 2.0, 4.0), [GREY] * 5, bottom_m=0.5, turn_deg=25)
    middle = np.array([2.0, 3.0, 2.5])
    for side in sides:
        assert (side.corners.mean(axis=0) - middle) @ side.normal > 0.4
    corners = np.concatenate([side.corners for side in sides]).round(9)
    assert len(np.unique(corners, axis=0)) == 8
    assert corners[:, 2].min() == pytest.approx(0.5)
    assert corners[:, 2].max() == pytest.approx(4.5)
    np.testing.assert_allclose(sides[0].normal, [np.sin(np.radians(25)), -np.cos(np.radians(25)), 0], atol=1e-12)


def test_box_seen_from_the_front_shows_its_front_upright():
    """The corner where the front's texture begins is left and above its opposite one in the picture."""
    front = box((0.0, 6.0), (1.0, 1.0, 1.0), [GREY] * 5)[0]
    start, _, end, _ = project(simple_camera(), front.corners)
    assert (start < end).all()


def test_a_quad_seen_edge_on_has_no_matrix():
    floor_at_eye_level = Quad((-1, 9, 0), (2, 0, 0), (0, -4, 0), GREY)
    assert not plane_matrices(scene_of(floor_at_eye_level), simple_camera()).any()
