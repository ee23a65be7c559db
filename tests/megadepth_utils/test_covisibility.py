import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from megadepth_utils.covisibility import overlap_and_scale_ratio, view_angles_deg


def plain_loop(points, has_depth):
    """Overlap and scale ratio, [n, n] each, from each image's normalised depths by point."""
    n = len(points)
    overlap, scale_ratio = np.full((n, n), -1.0), np.full((n, n), -1.0)
    for i in range(n):
        for j in range(n):
            if i == j or not has_depth[i] or not has_depth[j]:
                continue
            common = set(points[i]) & set(points[j])
            overlap[i, j] = len(common) / len(points[i]) if points[i] else 0
            if common:
                ratios = [points[i][point] / points[j][point] for point in common]
                scale_ratio[i, j] = min(max(ratio, 1 / ratio) for ratio in ratios)
    return overlap, scale_ratio


def flat(points, has_depth):
    """The same as arrays; images without depth have none for their points either."""
    numbers = [np.array(sorted(of_image), np.int64) for of_image in points]
    depths = [
        np.array([of_image[number] if used else np.nan for number in sorted(of_image)], np.float64)
        for of_image, used in zip(points, has_depth, strict=True)
    ]
    marks = np.cumsum([0, *map(len, numbers)])
    return np.concatenate([np.zeros(0, np.int64), *numbers]), np.concatenate([np.zeros(0), *depths]), marks


SCENES = st.lists(
    st.tuples(st.dictionaries(st.integers(0, 12), st.floats(1e-4, 10), max_size=9), st.booleans()), max_size=7
)


@pytest.mark.slow
@settings(max_examples=examples(200))
@given(SCENES)
def test_the_matrices_are_those_of_a_plain_loop_over_dictionaries(scene):
    points, has_depth = [part[0] for part in scene], np.array([part[1] for part in scene], bool)
    found = overlap_and_scale_ratio(*flat(points, has_depth), has_depth)
    for matrix, expected in zip(found, plain_loop(points, has_depth), strict=True):
        assert matrix.shape == (len(scene), len(scene))
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=0)


def test_overlap_is_the_share_of_the_first_image_and_ratios_are_the_least():
    points = [{0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}, {1: 1.0, 2: 4.5}, {7: 1.0}, {1: 1.0}, {}]
    has_depth = np.array([True, True, True, False, True])
    overlap, scale_ratio = overlap_and_scale_ratio(*flat(points, has_depth), has_depth)
    np.testing.assert_array_equal(overlap[0], [-1, 0.5, 0, -1, 0])
    np.testing.assert_array_equal(overlap[1], [1, -1, 0, -1, 0])
    np.testing.assert_array_equal(overlap[3], -np.ones(5))
    np.testing.assert_array_equal(overlap[4], [0, 0, 0, -1, -1])
    np.testing.assert_array_equal(scale_ratio[0], [-1, 1.5, -1, -1, -1])
    np.testing.assert_array_equal(scale_ratio, scale_ratio.T)


def turned(axis, angle_deg):
    """A pose that is turned by an angle about an axis."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(angle_deg)
    pose = np.eye(4)
    pose[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return pose


@pytest.mark.parametrize("angle_deg", [0, 1e-7, 1e-3, 17.5, 90, 179.999, 180 - 1e-7, 180])
def test_angles_keep_their_digits_at_both_ends(angle_deg):
    # About the x axis the principal axis turns by the whole angle; about z not at all.
    poses = np.stack([turned([0, 0, 1], 70), turned([1, 0, 0], angle_deg)])
    poses[1, :3, 3] = 4, 5, 6
    angles = view_angles_deg(poses)
    np.testing.assert_allclose(angles, [[0, angle_deg], [angle_deg, 0]], atol=1e-12, rtol=1e-12)


def test_angles_are_minus_one_where_a_pose_is_unknown():
    poses = np.stack([np.eye(4), np.full((4, 4), np.nan), np.eye(4)])
    np.testing.assert_array_equal(view_angles_deg(poses), [[0, -1, 0], [-1, -1, -1], [0, -1, 0]])
    assert view_angles_deg(np.zeros((0, 4, 4))).shape == (0, 0)
