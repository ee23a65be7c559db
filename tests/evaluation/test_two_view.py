"""Geometry of matches against clicked points and known poses."""

import cv2
import numpy as np
import pytest
from support.two_views import FOCAL, HEIGHT, ROTATION, TRANSLATION, WIDTH, two_views

from d2sfm.evaluation.two_view import (
    WITHIN_PX,
    epipolar_distances,
    essential_matrix,
    fundamental_matrix,
    pose_error_deg,
    share_within,
)

K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
POSE = np.block([[ROTATION, TRANSLATION[:, None]], [np.zeros((1, 3)), 1]])


def published_shares(fundamental, points, thresholds):
    """The protocol of WxBS's own package, point by point: homogeneous lines, the sum of two squared distances."""
    errors = []
    for x, y, u, v in points:
        a, b = np.array([x, y, 1]), np.array([u, v, 1])
        in_b, in_a = fundamental @ a, fundamental.T @ b
        square = float(b @ fundamental @ a) ** 2
        errors.append(np.sqrt(square / (in_b[0] ** 2 + in_b[1] ** 2) + square / (in_a[0] ** 2 + in_a[1] ** 2)))
    return [sum(error <= threshold for error in errors) / len(errors) for threshold in thresholds]


def test_shares_are_those_of_the_published_protocol():
    generator = np.random.default_rng(0)
    fundamental = np.array([[0, -1e-3, 0.3], [1.5e-3, 0, -1.1], [-0.4, 0.9, 20.0]])
    points = generator.uniform(0, 100, (200, 4))
    found = share_within(points, fundamental)
    assert found.tolist() == pytest.approx(published_shares(fundamental, points, range(1, 21)))
    assert 0 < found[0] < found[9] < found[19] < 1
    assert tuple(range(1, 21)) == WITHIN_PX


def test_a_distance_counts_in_both_pictures():
    beside = np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0.0]])  # lines are rows of pixels: y of a is y of b
    [distance] = epipolar_distances(np.array([[3.0, 10, 70, 14]]), beside)
    assert distance == pytest.approx(4 * np.sqrt(2))


def test_without_a_matrix_nothing_is_right():
    assert share_within(np.ones((3, 4)), None).tolist() == [0] * 20


def test_the_fundamental_matrix_is_found():
    xy_a, xy_b, matches, true = two_views(300, 120, 0)
    a, b = (xy[of_image] for xy, of_image in zip((xy_a, xy_b), matches.T, strict=True))
    estimate = fundamental_matrix(a, b, 1.0)
    assert np.count_nonzero(estimate.inliers & true) > 110
    assert share_within(np.column_stack([xy_a, xy_b])[:120], estimate.matrix)[1] > 0.95
    again = fundamental_matrix(a, b, 1.0)
    np.testing.assert_array_equal(estimate.matrix, again.matrix)


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_matches_give_nothing(count):
    xy = np.random.default_rng(0).uniform(0, 100, (count, 2))
    assert fundamental_matrix(xy, xy, 1.0).matrix is None
    estimate = essential_matrix(xy[:4], xy[:4], (K, K), 1.0)
    assert estimate.matrix is None
    assert pose_error_deg(xy[:4], xy[:4], (K, K), estimate, POSE) == np.inf


def test_matches_that_opencv_fails_at_give_nothing():
    random = np.random.default_rng(286)  # one draw of some thousand
    a = random.uniform(0, 100, (12, 2))
    b = a - 3
    b[8:] = random.uniform(0, 100, (4, 2))
    estimate = fundamental_matrix(a, b + random.normal(0, 0.5, b.shape), 4.0)
    assert estimate.matrix is None or estimate.matrix.shape == (3, 3)
    assert estimate.inliers.shape == (12,)


def test_the_pose_is_found_and_its_error_is_what_was_made():
    xy_a, xy_b, _, _ = two_views(200, 200, 0, noise_px=0.1)
    estimate = essential_matrix(xy_a, xy_b, (K, K), 1.0)
    assert pose_error_deg(xy_a, xy_b, (K, K), estimate, POSE) < 0.5
    turned = POSE.copy()
    turned[:3, :3] = cv2.Rodrigues(np.radians([0, 7.0, 0]))[0] @ turned[:3, :3]
    assert pose_error_deg(xy_a, xy_b, (K, K), estimate, turned) == pytest.approx(7, abs=0.5)
    aside = POSE.copy()
    aside[:3, 3] = cv2.Rodrigues(np.radians([0, 0, 30.0]))[0] @ aside[:3, 3]
    error = pose_error_deg(xy_a, xy_b, (K, K), estimate, aside)
    assert error == pytest.approx(np.degrees(np.arccos(unit(aside[:3, 3]) @ unit(TRANSLATION))), abs=0.5)
    aside[:3, 3] *= -1  # two views leave the sign open
    assert pose_error_deg(xy_a, xy_b, (K, K), estimate, aside) == pytest.approx(error)


def test_without_a_baseline_the_rotation_counts_alone():
    xy_a, xy_b, _, _ = two_views(200, 200, 0, noise_px=0.1)
    pose = POSE.copy()
    pose[:3, 3] = 0
    assert pose_error_deg(xy_a, xy_b, (K, K), essential_matrix(xy_a, xy_b, (K, K), 1.0), pose) < 0.5


def unit(vector):
    return vector / np.linalg.norm(vector)
