from dataclasses import replace

import cv2
import numpy as np
import pycolmap
import pytest

from d2sfm.demo import photographs
from d2sfm.demo.photographs import is_by_night, take_photographs, truth_model
from d2sfm.demo.scene import arc_of_views, project
from d2sfm.demo.square import CENTRE
from d2sfm.options import DemoOptions

SIZE = (48, 36)


@pytest.fixture
def two_lights(monkeypatch, coarse_squares):
    """The plain square for both lights: names, cameras and files are what is looked at."""
    monkeypatch.setattr(photographs, "build_square_by_day_and_night", lambda seed: coarse_squares[:2])
    monkeypatch.setattr(photographs, "build_square", lambda seed: coarse_squares[0])


@pytest.mark.slow
def test_every_second_view_is_by_night_and_cameras_are_those_of_the_day(tmp_path, two_lights):
    cameras, truth = take_photographs(tmp_path / "a", DemoOptions(views=6, night=True), size=SIZE)
    names = [camera.name for camera in cameras]
    assert names == [f"view_{i:02d}_{'night' if i % 2 else 'day'}.png" for i in range(6)]
    assert [is_by_night(name) for name in names] == [False, True] * 3
    assert sorted(path.name for path in (tmp_path / "a/images").iterdir()) == names
    written = pycolmap.Reconstruction(tmp_path / "a/truth")
    for camera, plain in zip(cameras, arc_of_views(CENTRE, 6, SIZE), strict=True):
        for model in (truth, written):
            centre = model.find_image_with_name(camera.name).projection_center()
            np.testing.assert_allclose(centre, plain.centre, atol=1e-9)
    with pytest.raises(FileExistsError):
        take_photographs(tmp_path / "a", DemoOptions(views=6, night=True), size=SIZE)


@pytest.mark.slow
def test_the_same_options_give_the_same_pictures(tmp_path, two_lights):
    for name in "ab":
        take_photographs(tmp_path / name, DemoOptions(views=6, night=True), size=SIZE)
    take_photographs(tmp_path / "plain", DemoOptions(views=6), size=SIZE)
    for path in sorted((tmp_path / "a/images").iterdir()):
        assert path.read_bytes() == (tmp_path / "b/images" / path.name).read_bytes()
        plain = cv2.imread(str(tmp_path / "plain/images" / f"{path.name[:7]}.png"))
        assert plain.shape == (SIZE[1], SIZE[0], 3)
        assert (cv2.imread(str(path)) != plain).any() == (path.name != "view_00_day.png")  # noise goes on


def test_the_true_model_has_the_cameras_of_the_scene():
    cameras = [replace(camera, name=f"a/{camera.name}") for camera in arc_of_views(np.zeros(3), 6)]
    model = truth_model(cameras)
    assert model.num_reg_images() == 6
    for camera in cameras:
        image = model.find_image_with_name(camera.name)
        np.testing.assert_allclose(image.projection_center(), camera.centre, atol=1e-9)
        points = camera.centre + (np.array([[0.3, -0.2, 5], [0.0, 0, 3]]) @ camera.rotation)
        for point, expected in zip(points, project(camera, points), strict=True):
            np.testing.assert_allclose(image.project_point(point), expected, atol=1e-6)
