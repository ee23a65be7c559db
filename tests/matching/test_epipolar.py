import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.matching.epipolar import epipolar_errors_px


def camera_of(model_name):
    camera = pycolmap.Camera.create_from_model_name(1, model_name, 800.0, 1000, 800)
    params = camera.params
    params[list(camera.extra_params_idxs())] = 0.05
    camera.params = params
    return camera


@settings(max_examples=examples(30))
@given(
    seed=st.integers(0, 2**16),
    offset_px=st.floats(-6, 6).filter(lambda offset: abs(abs(offset) - 3) > 0.2),
    models=st.tuples(*[st.sampled_from(["PINHOLE", "SIMPLE_RADIAL", "OPENCV_FISHEYE"])] * 2),
)
def test_matches_agree_within_the_error_across_the_epipolar_line(seed, offset_px, models):
    """The point in b is moved across its line; a's line is as far from its point where both see alike, so with
    offset d Sampson's error is about d / sqrt(2)."""
    generator = np.random.default_rng(seed)
    camera_a, camera_b = map(camera_of, models)
    b_from_a = pycolmap.Rigid3d(pycolmap.Rotation3d(generator.normal(0, 0.05, 3)), [1.0, 0, 0])
    points = np.column_stack([generator.uniform(-1, 1, (20, 2)), generator.uniform(6, 9, 20)])
    in_b = np.array([b_from_a * point for point in points])
    xy_a, xy_b = camera_a.img_from_cam(points), camera_b.img_from_cam(in_b)
    assert (epipolar_errors_px(camera_a, xy_a, camera_b, xy_b, b_from_a) <= 0.01).all()
    moved = xy_b + np.array([0, offset_px * np.sqrt(2)])  # lines are nearly horizontal
    errors = epipolar_errors_px(camera_a, xy_a, camera_b, moved, b_from_a)
    assert ((errors <= 3.0) == (abs(offset_px) < 3)).mean() > 0.7


def test_views_from_one_place_and_no_matches_agree_with_nothing():
    camera, none = camera_of("PINHOLE"), np.empty((0, 2))
    turned = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0.1, 0])), np.zeros(3))
    xy = np.array([[500.0, 400.0], [10, 20]])
    assert not (epipolar_errors_px(camera, xy, camera, xy, turned) <= 5.0).any()
    assert epipolar_errors_px(camera, none, camera, none, turned).shape == (0,)


@pytest.mark.parametrize("other", ["EQUIRECTANGULAR", "PINHOLE"])
def test_with_a_panorama_errors_are_angles_to_the_epipolar_planes(other):
    """Sampson's error of two angles, in pixels of which a panorama has its width for a whole turn."""
    generator = np.random.default_rng(0)
    panorama = pycolmap.Camera(model="EQUIRECTANGULAR", width=2000, height=1000, params=[2000, 1000])
    camera_b = panorama if other == "EQUIRECTANGULAR" else camera_of(other)
    b_from_a = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0.3, 0.1])), [1.0, 0.5, 0])
    ahead = generator.uniform([-2, -2, 5], [2, 2, 9], (40, 3))
    points = np.concatenate([ahead, -ahead]) if camera_b is panorama else ahead
    xy_a, xy_b = panorama.img_from_cam(points), camera_b.img_from_cam(np.array([b_from_a * each for each in points]))
    assert (epipolar_errors_px(panorama, xy_a, camera_b, xy_b, b_from_a) < 1e-6).all()
    moved = xy_b + generator.normal(0, 3, xy_b.shape)
    essential = pycolmap.essential_matrix_from_pose(b_from_a)
    rays_a, rays_b = panorama.cam_ray_from_img(xy_a), camera_b.cam_ray_from_img(moved)
    angles = []
    for rays, normals in ((rays_a, rays_b @ essential), (rays_b, rays_a @ essential.T)):
        angles.append(np.arcsin((rays * normals).sum(axis=1) / np.linalg.norm(normals, axis=1)))
    px = [2000 / (2 * np.pi), 2000 / (2 * np.pi) if camera_b is panorama else 800]
    expected = 2 / sum(1 / each for each in px) / np.hypot(1 / angles[0], 1 / angles[1])
    np.testing.assert_allclose(epipolar_errors_px(panorama, xy_a, camera_b, moved, b_from_a), expected, rtol=1e-3)


def test_panoramas_of_one_place_agree_with_nothing():
    panorama = pycolmap.Camera(model="EQUIRECTANGULAR", width=2000, height=1000, params=[2000, 1000])
    xy = np.array([[500.0, 400.0], [10, 20]])
    assert np.isnan(epipolar_errors_px(panorama, xy, panorama, xy, pycolmap.Rigid3d())).all()
