"""True matches of lenses of all kinds are kept, whether their distortion is taken out or not."""

import numpy as np
import pycolmap
import pytest
from support.two_views import HEIGHT, ROTATION, TRANSLATION, WIDTH, similarities_of

from d2sfm.matching.prosac import without_distortion
from d2sfm.matching.verification import verify
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions

COUNT, FALSE = 200, 60
# Focal length, and the parameters after the principal point: of little and of much distortion.
MODELS = {
    "SIMPLE_PINHOLE": [(1500, ())],
    "PINHOLE": [(1500, ())],
    "SIMPLE_RADIAL": [(1500, (-0.1,)), (900, (-0.25,))],
    "RADIAL": [(1500, (-0.12, 0.03)), (700, (-0.25, 0.05))],
    "OPENCV": [(1500, (-0.12, 0.03, 0.001, -0.001)), (700, (-0.25, 0.05, 0.001, 0.001))],
    "FULL_OPENCV": [(1500, (-0.1, 0.02, 0.001, *5 * [0])), (700, (-0.25, 0.05, 0.001, *5 * [0]))],
    "FOV": [(1500, (0.3,)), (700, (0.9,))],
    "SIMPLE_DIVISION": [(1500, (-0.1,)), (700, (-0.3,))],
    "DIVISION": [(1500, (-0.1,)), (700, (-0.3,))],
    "EUCM": [(1500, (0.3, 1)), (600, (0.6, 1.1))],
    "SIMPLE_FISHEYE": [(2500, ()), (500, ())],
    "FISHEYE": [(2500, ()), (500, ())],
    "SIMPLE_RADIAL_FISHEYE": [(2500, (0.01,)), (600, (0.01,))],
    "RADIAL_FISHEYE": [(2500, (0.01, 0)), (600, (0.01, 0))],
    "OPENCV_FISHEYE": [(2500, (0.01, *3 * [0])), (600, (0.01, *3 * [0]))],
    "THIN_PRISM_FISHEYE": [(2500, (0.01, *7 * [0])), (600, (0.01, *7 * [0]))],
    "RAD_TAN_THIN_PRISM_FISHEYE": [(2500, (0.01, *11 * [0])), (600, (0.01, *11 * [0]))],
    "EQUIRECTANGULAR": [],
}
CAMERAS = {(model, kind): given for model, of_model in MODELS.items() for kind, given in enumerate(of_model)}


def camera_of(model, kind):
    focal, others = CAMERAS[model, kind]
    made = pycolmap.Camera.create_from_model_name(1, model, focal, WIDTH, HEIGHT)
    if others:
        made.params = [*made.params[: -len(others)], *others]
    made.has_prior_focal_length = True
    return made


def panorama():
    made = pycolmap.Camera(model="EQUIRECTANGULAR", width=2000, height=1000, params=[2000, 1000])
    made.has_prior_focal_length = True
    return made


def seen_by(camera):
    """Keypoints of two views, as many of them true matches as COUNT (the first ones), and the similarities."""
    generator = np.random.default_rng(1)
    size, true = np.array([camera.width, camera.height]), []
    while len(true) < COUNT:
        xy_a = generator.uniform(0, 1, 2) * size
        ray = camera.cam_ray_from_img(xy_a)
        if ray is None:
            continue
        in_b = ROTATION @ (ray * generator.uniform(5, 12)) + TRANSLATION
        xy_b = camera.img_from_cam(in_b)
        if xy_b is None or not np.all((xy_b >= 0) & (xy_b <= size)):
            continue
        again = camera.cam_ray_from_img(xy_b)
        if again is not None and np.allclose(again, in_b / np.linalg.norm(in_b), atol=1e-4):
            true.append((xy_a, xy_b))
    noisy = np.array(true) + generator.normal(0, 1, (COUNT, 2, 2))
    keypoints = np.concatenate([noisy, generator.uniform(0, 1, (FALSE, 2, 2)) * size])
    return keypoints[:, 0], keypoints[:, 1], similarities_of(np.arange(len(keypoints)) < COUNT, 1)


def true_inliers(camera, keypoints, similarities):
    matches = np.tile(np.arange(COUNT + FALSE)[:, None], 2)
    views = (View(camera, xy) for xy in keypoints)
    verified = verify(*views, matches, VerificationOptions(), similarities=similarities)
    return np.count_nonzero(verified.geometry.inlier_matches[:, 0] < COUNT)


def test_each_model_of_colmap_is_here():
    assert MODELS.keys() == pycolmap.CameraModelId.__members__.keys() - {"INVALID"}


@pytest.mark.parametrize(("model", "kind"), CAMERAS)
def test_true_matches_are_kept(model, kind):
    camera = camera_of(model, kind)
    *keypoints, similarities = seen_by(camera)
    assert (without_distortion(camera, keypoints[0], 8.0) is None) == (kind == 1)
    assert true_inliers(camera, keypoints, similarities) >= 0.98 * true_inliers(camera, keypoints, None)


def test_true_matches_of_panoramas_are_kept():
    *keypoints, similarities = seen_by(panorama())
    assert without_distortion(panorama(), keypoints[0], 8.0) is None
    assert (
        true_inliers(panorama(), keypoints, similarities) == true_inliers(panorama(), keypoints, None) >= 0.98 * COUNT
    )


def test_true_matches_of_panoramas_with_known_poses_are_kept():
    camera, b_from_a = panorama(), pycolmap.Rigid3d(pycolmap.Rotation3d(ROTATION), TRANSLATION)
    xy_a, xy_b, similarities = seen_by(camera)
    views = View(camera, xy_a, pycolmap.Rigid3d()), View(camera, xy_b, b_from_a)
    matches = np.tile(np.arange(COUNT + FALSE)[:, None], 2)
    geometry = verify(*views, matches, VerificationOptions(), similarities=similarities).geometry
    assert np.count_nonzero(geometry.inlier_matches[:, 0] < COUNT) >= 0.98 * COUNT
    assert np.count_nonzero(geometry.inlier_matches[:, 0] >= COUNT) < 0.2 * FALSE


def test_one_view_of_strong_distortion_is_enough_to_keep_to_colmaps_way():
    fisheye, plain = camera_of("OPENCV_FISHEYE", 1), camera_of("PINHOLE", 0)
    *keypoints, similarities = seen_by(plain)
    seen = (keypoints[0] - [WIDTH / 2, HEIGHT / 2]) / 1500
    as_fisheye = fisheye.img_from_cam(np.column_stack([seen, np.ones(len(seen))]))
    matches, found = np.tile(np.arange(COUNT + FALSE)[:, None], 2), []
    for of_pair in (None, similarities):
        views = View(fisheye, as_fisheye), View(plain, keypoints[1])
        geometry = verify(*views, matches, VerificationOptions(), similarities=of_pair).geometry
        found.append(geometry.inlier_matches.tolist())
    assert found[0] == found[1]
    assert len(found[0]) >= 0.98 * COUNT
