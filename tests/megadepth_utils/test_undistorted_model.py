import shutil

import numpy as np
import pycolmap
import pytest
from support.undistorted_model import FOCALS_PX, NAMES, POINTS, SEEN, TURNS_DEG, keypoint, write_undistorted_model

from megadepth_utils.undistorted_model import read_undistorted_model

FILES = ("cameras.bin", "images.bin", "points3D.bin")


@pytest.fixture
def folder(tmp_path):
    write_undistorted_model(tmp_path / "sparse")
    return tmp_path / "sparse"


def plain_observations(name):
    """The rows of the points that an image observes, ascending, and of each the last keypoint's position."""
    last = {row: keypoint(index) for index, row in enumerate(SEEN[name]) if row is not None}
    return sorted(last), [last[row] for row in sorted(last)]


def test_images_are_in_ascending_id_with_their_cameras_and_points(folder):
    model = read_undistorted_model(folder)
    assert model.names == list(NAMES)
    fx, fy = FOCALS_PX
    np.testing.assert_array_equal(model.intrinsics, [[[fx, 0, 60], [0, fy, 40], [0, 0, 1]]] * 3)
    np.testing.assert_array_equal(model.mean_focals_px, [120] * 3)
    np.testing.assert_array_equal(model.points3D_ids, np.arange(1, 7))
    np.testing.assert_array_equal(model.xyz, POINTS)
    for index, name in enumerate(NAMES):
        rows, positions = plain_observations(name)
        own = slice(model.image_ptr[index], model.image_ptr[index + 1])
        np.testing.assert_array_equal(model.points[own], rows)
        np.testing.assert_array_equal(model.points2D_xy[own], positions)
        turn = np.radians(TURNS_DEG[name])
        np.testing.assert_allclose(model.poses[index, 0, :3], [np.cos(turn), 0, np.sin(turn)], atol=1e-12)
        np.testing.assert_array_equal(model.poses[index, 3], [0, 0, 0, 1])
    in_camera = np.concatenate(
        [POINTS[plain_observations(name)[0]] @ model.poses[k, 2, :3] for k, name in enumerate(NAMES)]
    )
    np.testing.assert_allclose(model.depths(), in_camera, rtol=1e-12)


def test_of_a_point_observed_twice_the_last_keypoint_counts(folder):
    model = read_undistorted_model(folder)
    rows, positions = model.points[-3:], model.points2D_xy[-3:]  # c.jpg, whose keypoints 0 and 3 observe row 1
    np.testing.assert_array_equal(positions[rows == 1], [keypoint(3)])


def test_an_image_without_points_stays(tmp_path):
    write_undistorted_model(tmp_path / "sparse", seen={**SEEN, "a.jpg": (None, None), "c.jpg": ()})
    model = read_undistorted_model(tmp_path / "sparse")
    np.testing.assert_array_equal(model.image_ptr, [0, 3, 3, 3])
    assert model.points2D_xy.shape == (3, 2)


def test_models_of_2018_and_text_models_are_read(folder, tmp_path):
    expected = read_undistorted_model(folder)
    text = tmp_path / "text"
    text.mkdir()
    pycolmap.Reconstruction(folder).write_text(text)
    for name in ("rigs.bin", "frames.bin"):
        (folder / name).unlink()
    for model in (read_undistorted_model(folder), read_undistorted_model(text)):
        assert model.names == expected.names
        np.testing.assert_allclose(model.poses, expected.poses, atol=1e-12)
        np.testing.assert_allclose(model.depths(), expected.depths(), rtol=1e-12)
        np.testing.assert_array_equal(model.points2D_xy, expected.points2D_xy)


@pytest.mark.parametrize("camera_model", ["SIMPLE_RADIAL", "FISHEYE", "EQUIRECTANGULAR"])
def test_a_camera_with_distortion_is_refused(tmp_path, camera_model):
    write_undistorted_model(tmp_path / "sparse", camera_model=camera_model)
    with pytest.raises(RuntimeError, match=rf"sub/b\.jpg in .* has a camera with distortion, {camera_model}"):
        read_undistorted_model(tmp_path / "sparse")


def test_a_model_without_images_is_refused(tmp_path):
    write_undistorted_model(tmp_path / "sparse", seen={}, points=POINTS[:0])
    with pytest.raises(RuntimeError, match="no image with a pose"):
        read_undistorted_model(tmp_path / "sparse")


def test_an_observation_of_a_point_that_is_not_there_is_refused(folder, tmp_path):
    write_undistorted_model(tmp_path / "fewer", seen={}, points=POINTS[:0])
    shutil.copyfile(tmp_path / "fewer" / "points3D.bin", folder / "points3D.bin")
    with pytest.raises(RuntimeError, match="observes a 3D point that the model lacks"):
        read_undistorted_model(folder)
