import cv2
import numpy as np
import pytest
from support.helpers import share_of

from d2sfm.demo.scene import arc_of_views, look_at
from d2sfm.plots.cameras import Poses, draw_cameras
from d2sfm.plots.palette import BY_NIGHT, RECOVERED, TRUE


def reconstruction(points: int = 400) -> dict:
    """Cameras on an arc and points on two walls, as keyword arguments of ``draw_cameras``."""
    cameras = arc_of_views(np.array([0, 0, 2.0]), 9)
    generator = np.random.default_rng(0)
    xyz = generator.uniform((-5, 0, 0), (5, 0.2, 6), (points, 3))
    centres, rotations = (np.array([getattr(camera, name) for camera in cameras]) for name in ("centre", "rotation"))
    return {
        "recovered": Poses(centres, rotations),
        "points": xyz,
        "colours": np.full((points, 3), (230, 40, 200), np.uint8),
    }


@pytest.mark.slow
def test_cameras_points_and_truth_are_in_the_picture():
    found = reconstruction()
    picture = draw_cameras(**found, size=(800, 380))
    assert picture.shape == (380, 800, 3)
    assert share_of(picture, RECOVERED) > 0.001
    assert share_of(picture, (250, 58, 230)) > 0.001
    assert share_of(picture, TRUE, 25) < 1e-4
    centres, rotations = found["recovered"]
    with_truth = draw_cameras(**found, true=Poses(np.add(centres, (0.0, 0.0, 1.5)), rotations), size=(800, 380))
    assert share_of(with_truth, TRUE) > 0.001
    np.testing.assert_array_equal(picture, draw_cameras(**found, size=(800, 380)))


@pytest.mark.slow
def test_cameras_by_night_have_a_colour_of_their_own():
    day, mixed, night = (
        draw_cameras(**reconstruction(), size=(800, 380), by_night=np.arange(9) < dark) for dark in (0, 4, 9)
    )
    for colour, all_of_it, none in ((RECOVERED, day, night), (BY_NIGHT, night, day)):
        shares = [share_of(picture, colour) for picture in (none, mixed, all_of_it)]
        assert np.diff(shares).min() > 3e-4  # the legend has a disc of each in all of them


@pytest.mark.parametrize("turn_deg", [35, 180])
def test_the_picture_does_not_depend_on_the_world_it_is_given_in(turn_deg):
    """Turned, moved and scaled, a reconstruction looks the same: up is found from the cameras."""
    found = reconstruction()
    centres, rotations = found["recovered"]
    world_turn, _ = cv2.Rodrigues(np.radians(turn_deg) * np.array([0.6, 0.64, 0.48]))
    turned = {
        "recovered": Poses(7 * centres @ world_turn.T + (3, -2, 50), rotations @ world_turn.T),
        "points": 7 * found["points"] @ world_turn.T + (3, -2, 50),
        "colours": found["colours"],
    }
    first, second = (draw_cameras(**each, size=(800, 380)).astype(int) for each in (found, turned))
    magenta = [np.abs(image - (250, 58, 230)).max(axis=2) < 60 for image in (first, second)]
    assert magenta[0].sum() > 500
    assert (magenta[0] & magenta[1]).sum() > 0.8 * magenta[0].sum()


def test_points_lie_above_the_cameras_in_the_plan():
    """In the right half, the plan, the walls in front of the cameras are drawn higher up than the cameras."""
    picture = draw_cameras(**reconstruction(), size=(800, 380))[:, 480:].astype(int)
    points, cameras = (
        np.nonzero(np.abs(picture - colour).max(axis=2) < 40)[0].mean() for colour in ((250, 58, 230), RECOVERED)
    )
    assert points < cameras - 50


def test_a_far_stray_does_not_shrink_the_picture():
    found = reconstruction()
    strayed = dict(found, points=found["points"].copy())
    strayed["points"][0] = (9e12, 5000, 100)
    same, shown = (draw_cameras(**each, size=(800, 380)) for each in (found, strayed))
    assert share_of(shown, RECOVERED) > 0.8 * share_of(same, RECOVERED)


@pytest.mark.parametrize("cameras", [0, 1, 2])
def test_few_cameras_and_no_points(cameras):
    found = Poses(*(values[:cameras] for values in reconstruction()["recovered"]))
    picture = draw_cameras(found, np.zeros((0, 3)), np.zeros((0, 3), np.uint8), size=(400, 200))
    assert picture.shape == (200, 400, 3)


@pytest.mark.parametrize("angles_deg", [range(0, 360, 40), [0] * 5])
def test_up_is_found_from_cameras_all_around_and_from_cameras_in_a_row(angles_deg):
    """A tower on the point that the cameras circle, or on the line they move along, stands upright in the picture."""
    centres, rotations = [], []
    for step, angle in enumerate(np.radians(angles_deg)):
        centre = np.array([10 * np.sin(angle) + 0.7 * step, -10 * np.cos(angle), 3.0])
        rotation, _ = look_at(centre, centre + np.array([-np.sin(angle), np.cos(angle), -0.2]))
        centres.append(centre)
        rotations.append(rotation)
    tower = np.stack([np.zeros(200), np.zeros(200), np.linspace(0, 8, 200)], axis=1)
    colours = np.full((200, 3), (230, 40, 200), np.uint8)
    picture = draw_cameras(Poses(np.array(centres), np.array(rotations)), tower, colours, size=(800, 380))
    rows, columns = np.nonzero(np.abs(picture[:, :440].astype(int) - (250, 58, 230)).max(axis=2) < 60)
    assert np.ptp(rows) > 60
    assert np.ptp(columns) < 0.15 * np.ptp(rows)
