import cv2
import numpy as np
import pytest

from d2sfm.demo.scene import arc_of_views, project
from d2sfm.demo.show import show, truth_model
from d2sfm.options import DemoOptions


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, show(folder, options=DemoOptions(views=8))


def test_the_whole_pipeline_finds_the_true_cameras(demo):
    """Render, extract, match, verify, refine, map: cameras whose truth is exact."""
    _, result = demo
    assert result.reconstruction.statistics[0].images == 8
    assert np.median(result.errors.rotation_deg) < 0.2
    assert np.median(result.errors.centre) < 0.003 * result.extent_m
    assert result.reconstruction.statistics[0].points > 500


def test_the_result_is_a_table_with_both_errors(demo):
    text = str(demo[1])
    assert "8 of 8" in text
    assert "rotation, degrees" in text
    assert "% of the scene" in text


def test_the_folder_holds_photographs_models_and_pictures(demo):
    folder, _ = demo
    names = {path.name for path in folder.iterdir()}
    pictures = {"keypoints.png", "matches.png", "cameras.png"}
    assert names == {"images", "truth", "db.db", "sparse", "d2sfm_demo.txt"} | pictures
    assert len(list((folder / "images").iterdir())) == 8
    for name in ("keypoints.png", "matches.png", "cameras.png"):
        assert cv2.imread(str(folder / name)).std() > 10


def test_a_demonstration_takes_no_other_folder(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="something else"):
        show(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"mine\.txt"):
        show(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        show(tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_true_model_has_the_cameras_of_the_scene():
    cameras = arc_of_views(np.zeros(3), 6)
    model = truth_model(cameras)
    assert model.num_reg_images() == 6
    for camera in cameras:
        image = model.find_image_with_name(camera.name)
        np.testing.assert_allclose(image.projection_center(), camera.centre, atol=1e-9)
        points = camera.centre + (np.array([[0.3, -0.2, 5], [0.0, 0, 3]]) @ camera.rotation)
        for point, expected in zip(points, project(camera, points), strict=True):
            np.testing.assert_allclose(image.project_point(point), expected, atol=1e-6)
