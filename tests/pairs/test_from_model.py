from collections import Counter
from itertools import combinations

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.examples import examples

from d2sfm.pairs.from_model import by_poses, covisible


@pytest.fixture(scope="module")
def model():
    """Seven cameras in a row, each nearest to the one before; image ids are 10 k + 10.

    Image k looks k * 10 degrees to the side and sees the points 4 k to 4 k + 11; images 3 and 5 are held upside down,
    image 6 sees nothing.
    """
    found = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="PINHOLE", width=80, height=60, params=[90, 90, 40, 30])
    found.add_camera_with_trivial_rig(camera)
    seen = {k: range(4 * k, 4 * k + 12) if k < 6 else range(0) for k in range(7)}
    for k, points in seen.items():
        rotation = Rotation.from_euler("yz", [10 * k, 180 * (k in (3, 5))], degrees=True)  # about fixed axes
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation.as_quat()), -rotation.apply([k + 0.1 * k * k, 0, 0]))
        keypoints = np.zeros((len(points), 2))
        found.add_image_with_trivial_frame(pycolmap.Image(f"{k}.jpg", keypoints, 1, 10 * k + 10), pose)
    for point in range(32):
        track = [pycolmap.TrackElement(10 * k + 10, point - 4 * k) for k, points in seen.items() if point in points]
        found.add_point3D(np.zeros(3), pycolmap.Track(track))
    return found


def images(model):
    ids = sorted(model.reg_image_ids())
    return np.array(ids, np.uint32), [model.image(image_id) for image_id in ids]


def test_images_that_share_most_points(model):
    # Neighbours share 8 points, those two apart 4.
    assert covisible(*images(model), 1).tolist() == [[10, 20], [20, 30], [30, 40], [40, 50], [50, 60]]
    near = [[10 * k, 10 * k + 10] for k in range(1, 6)]
    assert covisible(*images(model), 2).tolist() == sorted([*near, [10, 30], [40, 60]])
    assert covisible(*images(model), 9).tolist() == sorted([*near, *([10 * k, 10 * k + 20] for k in range(1, 5))])


def test_against_counts_of_tracks():
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=8)
    options.num_points3D, options.track_length = 60, 3
    model = pycolmap.synthesize_dataset(options)
    shared = Counter()
    for point in model.points3D.values():
        shared.update(combinations(sorted({element.image_id for element in point.track.elements}), 2))
    ids, records = images(model)
    found = covisible(ids, records, len(ids))
    assert list(map(tuple, found.tolist())) == sorted(shared)


def test_near_cameras_that_look_the_same_way(model):
    row = [[10 * k, 10 * k + 10] for k in range(1, 7)]
    assert by_poses(*images(model), 1, 180.0).tolist() == row
    assert by_poses(*images(model), 9, 10.0 + 1e-6).tolist() == row  # upside down is no other way to look
    assert by_poses(*images(model), 9, 9.9).tolist() == []
    two = sorted([*row, *([10 * k, 10 * k + 20] for k in range(1, 6))])
    assert by_poses(*images(model), 9, 25.0).tolist() == two
    assert len(by_poses(*images(model), 9, 180.0)) == 21


def test_a_model_without_points(model):
    ids, records = images(model)
    assert covisible(ids[-1:], records[-1:], 5).shape == (0, 2)
    assert by_poses(ids[-1:], records[-1:], 5, 30.0).shape == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_cameras_that_look_exactly_the_same_way(seed):
    found = pycolmap.Reconstruction()
    found.add_camera_with_trivial_rig(pycolmap.Camera(camera_id=1, model="PINHOLE", width=8, height=6, params=[9] * 4))
    rotation = pycolmap.Rotation3d(Rotation.random(rng=seed).as_quat())
    for k in (1, 2):
        image = pycolmap.Image(f"{k}.jpg", np.zeros((0, 2)), 1, k)
        found.add_image_with_trivial_frame(image, pycolmap.Rigid3d(rotation, [k, 0, 0]))
    assert by_poses(*images(found), 1, 0.0).tolist() == [[1, 2]]


class Posed:
    """The two things that poses are asked for."""

    def __init__(self, centre, direction):
        self.projection_center, self.viewing_direction = lambda: centre, lambda: direction


def by_poses_plainly(centres, directions, number, max_angle_deg):
    """Sorted by distance and then by id, one image after the other; ids are one above the index."""
    found, least = set(), np.cos(np.radians(max_angle_deg)) - 1e-12
    for i, (centre, direction) in enumerate(zip(centres, directions, strict=True)):
        cosines = [sum(direction * other) for other in directions]
        distance = [np.sqrt(sum((centre - other) ** 2)) for other in centres]
        near = [j for j, cosine in enumerate(cosines) if j != i and cosine >= least and distance[j] < np.inf]
        near.sort(key=lambda j: (distance[j], j))
        found |= {(min(i, j) + 1, max(i, j) + 1) for j in near[:number]}
    return sorted(found)


@given(
    st.integers(1, 70), st.integers(1, 4), st.sampled_from([0.0, 20.0, 45.0, 90.0, 180.0]), st.integers(0, 2**32 - 1)
)
@settings(max_examples=examples(60), deadline=None)
def test_poses_against_all_distances(count, number, max_angle_deg, seed):
    """Places of a grid, many of them equal, some unknown, and directions 7 degrees apart, all around one axis."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, generator.integers(1, 5), (count, 3)).astype(float)
    centres[generator.random(count) < 0.05] = np.nan
    angles = np.radians(7.0 * generator.integers(0, 51, count))
    directions = np.stack([np.cos(angles), np.zeros(count), np.sin(angles)], axis=1)
    found = by_poses(np.arange(1, count + 1), list(map(Posed, centres, directions)), number, max_angle_deg)
    assert list(map(tuple, found.tolist())) == by_poses_plainly(centres, directions, number, max_angle_deg)
