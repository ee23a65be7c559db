import cv2
import numpy as np
import pytest
from helpers import centroid

from d2sfm.demo.scene import arc_of_views, look_at
from d2sfm.plots import INLIER, OUTLIER, RECOVERED, TRUE, draw_cameras, draw_keypoints, draw_matches, save_image

BLACK = np.zeros((60, 90, 3), np.uint8)


def share_of(image: np.ndarray, colour: tuple[int, int, int], tolerance: int = 40) -> float:
    """Share of the pixels that have about this colour."""
    return (np.abs(image.astype(int) - colour).max(axis=2) <= tolerance).mean()


def reconstruction(points: int = 400) -> dict:
    """Cameras on an arc and points on two walls, as keyword arguments of ``draw_cameras``."""
    cameras = arc_of_views(np.array([0, 0, 2.0]), 9)
    generator = np.random.default_rng(0)
    xyz = generator.uniform((-5, 0, 0), (5, 0.2, 6), (points, 3))
    return {
        "centres": np.array([camera.centre for camera in cameras]),
        "rotations": np.array([camera.rotation for camera in cameras]),
        "points": xyz,
        "colours": np.full((points, 3), (230, 40, 200), np.uint8),
    }


@pytest.mark.parametrize("zoom", [1, 2, 3])
def test_keypoints_are_drawn_where_they_are(zoom):
    """The ring's centre of mass lies on the keypoint, in COLMAP's frame, at every zoom."""
    xy = np.array([30.3, 20.7])
    picture = draw_keypoints(BLACK, np.array([[*xy, 4.0, 1.0]], np.float32), zoom)
    assert picture.shape == (60 * zoom, 90 * zoom, 3)
    assert np.abs(centroid(picture, xy * zoom, 10 * zoom) - xy * zoom).max() < 0.12
    assert (picture != draw_keypoints(BLACK, np.zeros((0, 4), np.float32), zoom)).any(axis=2).sum() > 10


def test_keypoints_take_their_colour_from_the_score_and_their_size_from_the_scale():
    best_first = np.array([[20, 20, 1, 9.0], [60, 20, 1, 1.0], [20, 45, 4, 0.5]], np.float32)
    picture = draw_keypoints(BLACK, best_first, zoom=4)

    def near(x, y, radius=24):
        return picture[4 * y - radius : 4 * y + radius, 4 * x - radius : 4 * x + radius].astype(int)

    bright = near(20, 20).sum(axis=2).argmax()
    red, green, blue = near(20, 20).reshape(-1, 3)[bright]
    assert min(red, green) > blue + 60  # yellow
    assert (near(60, 20).sum(axis=(0, 1)) < near(20, 20).sum(axis=(0, 1)))[1]  # less green: violet
    assert near(20, 45).any(axis=2).sum() > 1.5 * near(60, 20).any(axis=2).sum()


def test_the_input_picture_is_left_as_it_is():
    image = np.full((40, 50, 3), 99, np.uint8)
    draw_keypoints(image, np.array([[20, 20, 1, 1]], np.float32))
    draw_matches(image, image, np.array([[20.0, 20]]), np.array([[25.0, 20]]))
    assert (image == 99).all()


def test_a_match_joins_its_two_positions():
    """The line runs from (10.5, 10.5) of the left to (70.5, 40.5) of the right picture, which begins at 90 + 8."""
    picture = draw_matches(BLACK, BLACK, np.array([[10.5, 10.5]]), np.array([[70.5, 40.5]]))
    assert picture.shape == (60, 90 + 8 + 90, 3)
    for part in np.linspace(0.02, 0.98, 9):
        x, y = np.array([10, 10]) + part * np.array([98 + 60, 30])
        assert picture[round(y) - 1 : round(y) + 2, round(x), 1].max() > 120
    assert share_of(picture, INLIER) > 0
    empty = draw_matches(BLACK, BLACK, np.zeros((0, 2)), np.zeros((0, 2)))
    rows, columns = np.nonzero((picture != empty).any(axis=2))
    assert (columns.min(), columns.max()) == pytest.approx((10, 168), abs=3)
    assert (rows.min(), rows.max()) == pytest.approx((10, 40), abs=3)


def test_inliers_are_green_and_the_rest_red():
    xy = np.array([[10.0, 10], [10.0, 50]])
    picture = draw_matches(BLACK, BLACK, xy, xy, np.array([True, False])).astype(int)
    green, red = picture[:30, :90].sum(axis=(0, 1)), picture[30:, :90].sum(axis=(0, 1))
    assert green[1] > 1.5 * green[0]
    assert red[0] > 1.5 * red[1]
    assert INLIER[1] > INLIER[0]
    assert OUTLIER[0] > OUTLIER[1]


def test_no_more_lines_than_asked_and_always_the_same():
    generator = np.random.default_rng(0)
    xy_a, xy_b = (np.stack([np.full(300, x), generator.uniform(0, 60, 300)], axis=1) for x in (5.0, 80.0))
    first, second = (draw_matches(BLACK, BLACK, xy_a, xy_b, most=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (
        0 < share_of(first, INLIER, 60) < 0.2 < share_of(draw_matches(BLACK, BLACK, xy_a, xy_b, most=300), INLIER, 60)
    )


def test_matches_of_pictures_of_different_sizes():
    picture = draw_matches(BLACK, np.full((100, 30, 3), 200, np.uint8), np.zeros((0, 2)), np.zeros((0, 2)), zoom=2)
    assert picture.shape == (200, (90 + 8 + 30) * 2, 3)
    assert (picture[:, -60:] > 100).all()
    with pytest.raises(ValueError, match="found 3 and 2 positions, 3 flags"):
        draw_matches(BLACK, BLACK, np.zeros((3, 2)), np.zeros((2, 2)))


def test_cameras_points_and_truth_are_in_the_picture():
    found = reconstruction()
    picture = draw_cameras(**found, size=(800, 380))
    assert picture.shape == (380, 800, 3)
    assert share_of(picture, RECOVERED) > 0.001
    assert share_of(picture, (250, 58, 230)) > 0.001
    assert share_of(picture, TRUE, 25) < 1e-4
    moved = found["centres"] + (0.0, 0.0, 1.5)
    with_truth = draw_cameras(**found, true_centres=moved, true_rotations=found["rotations"], size=(800, 380))
    assert share_of(with_truth, TRUE) > 0.001
    np.testing.assert_array_equal(picture, draw_cameras(**found, size=(800, 380)))


@pytest.mark.parametrize("turn_deg", [35, 180])
def test_the_picture_does_not_depend_on_the_world_it_is_given_in(turn_deg):
    """Turned, moved and scaled, a reconstruction looks the same: up is found from the cameras."""
    found = reconstruction()
    world_turn, _ = cv2.Rodrigues(np.radians(turn_deg) * np.array([0.6, 0.64, 0.48]))
    turned = {
        "centres": 7 * found["centres"] @ world_turn.T + (3, -2, 50),
        "rotations": found["rotations"] @ world_turn.T,
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
    found = {key: values[:cameras] for key, values in reconstruction().items()}
    found["points"], found["colours"] = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    assert draw_cameras(**found, size=(400, 200)).shape == (200, 400, 3)


@pytest.mark.parametrize("angles_deg", [range(0, 360, 40), [0] * 5])
def test_up_is_found_from_cameras_all_around_and_from_cameras_in_a_row(angles_deg):
    """A tower on the point that the cameras circle, or on the line they move along, stands upright in the picture."""
    found = {"centres": [], "rotations": []}
    for step, angle in enumerate(np.radians(angles_deg)):
        centre = np.array([10 * np.sin(angle) + 0.7 * step, -10 * np.cos(angle), 3.0])
        rotation, _ = look_at(centre, centre + np.array([-np.sin(angle), np.cos(angle), -0.2]))
        found["centres"].append(centre)
        found["rotations"].append(rotation)
    tower = np.stack([np.zeros(200), np.zeros(200), np.linspace(0, 8, 200)], axis=1)
    colours = np.full((200, 3), (230, 40, 200), np.uint8)
    picture = draw_cameras(np.array(found["centres"]), np.array(found["rotations"]), tower, colours, size=(800, 380))
    rows, columns = np.nonzero(np.abs(picture[:, :440].astype(int) - (250, 58, 230)).max(axis=2) < 60)
    assert np.ptp(rows) > 60
    assert np.ptp(columns) < 0.15 * np.ptp(rows)


def test_save_image_writes_what_it_was_given(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    save_image(tmp_path / "a.png", BLACK)
    save_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_save_image_refuses_what_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        save_image(tmp_path / "a.png", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"\.png"):
        save_image(tmp_path / "a.jpg", BLACK)
    with pytest.raises(FileNotFoundError):
        save_image(tmp_path / "missing" / "a.png", BLACK)
