import numpy as np
import pycolmap
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
