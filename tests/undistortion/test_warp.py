"""Tiles, and places between nodes, against a plain way that computes every pixel's place."""

import numpy as np
import pycolmap
import pytest
from scipy.ndimage import map_coordinates

from d2sfm.undistortion import warp
from d2sfm.undistortion.cameras import pinhole_camera

CAMERAS = {
    "SIMPLE_RADIAL": [300, 160, 120, -0.15],
    "OPENCV": [310, 300, 150, 130, -0.2, 0.05, 0.002, -0.001],
    "OPENCV_FISHEYE": [110, 110, 160, 120, 0.05, -0.01, 0, 0],
    "FISHEYE": [200, 210, 150, 130],  # has no coefficients, so that COLMAP calls it undistorted
    "SIMPLE_RADIAL_FISHEYE": [200, 160, 120, 0],
    "RADIAL": [300, 160, 120, 0.1, 0.02],
}


def camera(model: str, params: list[float]) -> pycolmap.Camera:
    return pycolmap.Camera(camera_id=1, model=model, width=320, height=240, params=params)


def plain(pixels: np.ndarray, source: pycolmap.Camera, target: pycolmap.Camera) -> np.ndarray:
    x, y = np.meshgrid(np.arange(target.width) + 0.5, np.arange(target.height) + 0.5)
    rays = np.column_stack([target.cam_from_img(np.column_stack([x.ravel(), y.ravel()])), np.ones(x.size)])
    xy = source.img_from_cam(rays).reshape(*x.shape, 2) - 0.5
    sampled = map_coordinates(pixels.astype(float), [xy[..., 1], xy[..., 0]], order=1, mode="nearest")
    beyond = ((xy < -1) | (xy > [source.width, source.height])).any(axis=2)
    return np.where(beyond, 0, sampled)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Smooth, so that a tenth of a pixel shows and a rounded position does not."""
    x, y = np.meshgrid(np.arange(320), np.arange(240))
    return (128 + 60 * np.sin(x / 5) + 60 * np.cos(y / 6)).astype(np.uint8)


@pytest.mark.parametrize("model", CAMERAS)
def test_the_same_as_the_plain_way(model, pixels, monkeypatch):
    source = camera(model, CAMERAS[model])
    target = pinhole_camera(source)
    monkeypatch.setattr(warp, "TILE_PX", 100)
    found, mask = warp.undistorted(np.repeat(pixels[..., None], 3, axis=2), None, source, target)
    assert found.shape == (target.height, target.width, 3)
    assert mask is None
    difference = np.abs(found[..., 1] - plain(pixels, source, target))
    assert difference.max() <= 2  # of 255: 1 px is up to 12


def test_what_lies_beyond_the_photograph_is_black_and_out(pixels):
    source = camera("SIMPLE_RADIAL", CAMERAS["SIMPLE_RADIAL"])
    target = pinhole_camera(source)
    target.width, target.height, target.params = 640, 480, [*target.params[:2], 320.0, 240.0]
    found, mask = warp.undistorted(np.repeat(pixels[..., None], 3, axis=2), None, source, target)
    expected = plain(np.full_like(pixels, 255), source, target) > 0
    assert 0.2 < mask.mean() < 0.5
    assert (mask != expected).mean() < 0.01  # its outline
    assert (found[~mask & ~expected] == 0).all()


def test_a_pixel_made_of_one_that_is_out_is_out(pixels):
    source = camera("SIMPLE_RADIAL", CAMERAS["SIMPLE_RADIAL"])
    target = pinhole_camera(source)
    mask = np.ones(pixels.shape, bool)
    mask[100:120, 100:130] = False
    leaking = np.where(mask, np.uint8(0), np.uint8(255))
    found, seen = warp.undistorted(np.repeat(leaking[..., None], 3, axis=2), mask, source, target)
    assert found[seen].max() == 0
    assert 600 < (~seen).sum() < 1000


def test_smaller_pictures_are_smoothed_first(pixels):
    source = camera("SIMPLE_RADIAL", [300, 160, 120, -0.01])
    checker = (np.indices((240, 320)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found, _ = warp.undistorted(np.repeat(checker[..., None], 3, axis=2), None, source, pinhole_camera(source, 80))
    assert np.abs(found.astype(int) - 127).max() < 10


def test_a_picture_wider_than_opencv_takes(pixels):
    source = pycolmap.Camera(
        camera_id=1, model="SIMPLE_RADIAL", width=40_000, height=8, params=[40_000, 20_000, 4, -0.01]
    )
    wide = np.zeros((8, 40_000, 3), np.uint8)
    wide[..., 0] = np.arange(40_000) // 256
    target = pinhole_camera(source)
    found, _ = warp.undistorted(wide, None, source, target)
    assert np.abs(found[4, :, 0].astype(float) - plain(wide[..., 0], source, target)[4]).max() <= 1


@pytest.mark.parametrize("model", CAMERAS)
def test_the_same_as_colmaps_own(model, pixels):
    source = camera(model, CAMERAS[model])
    colours = np.repeat(pixels[..., None], 3, axis=2)
    options = pycolmap.UndistortCameraOptions()
    bitmap, target = pycolmap.undistort_image(options, pycolmap.Bitmap.from_array(colours), source)
    found, _ = warp.undistorted(colours, None, source, pinhole_camera(source))
    np.testing.assert_array_equal(target.params, pinhole_camera(source).params)
    difference = np.abs(found.astype(int) - bitmap.to_array())[1:-1, 1:-1]  # where COLMAP's may be black
    assert difference.max() <= 2
