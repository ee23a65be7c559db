"""Matches of two views of a made-up scene."""

import numpy as np
import pycolmap
from scipy.spatial.transform import Rotation

WIDTH, HEIGHT, FOCAL = 1600, 1200, 1500.0
ROTATION = Rotation.from_euler("xyz", [3, 12, -2], degrees=True).as_matrix()
TRANSLATION = np.array([-1.5, 0.2, 0.3])


def camera(known_focal_length=True):
    made = pycolmap.Camera(model="PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2])
    made.has_prior_focal_length = known_focal_length
    return made


def two_views(count, inliers, seed, *, noise_px=0.3, planar=False):
    """Keypoints of two views, the matches between them in random order, and which of those are true."""
    generator = np.random.default_rng(seed)
    depth = np.full(inliers, 8.0) if planar else generator.uniform(5, 12, inliers)
    points = np.column_stack([generator.uniform(-2.5, 3, inliers), generator.uniform(-2, 2, inliers), depth])
    centre, size = np.array([WIDTH / 2, HEIGHT / 2]), np.array([WIDTH, HEIGHT])
    in_b = points @ ROTATION.T + TRANSLATION
    views = [
        np.concatenate([
            seen[:, :2] / seen[:, 2:] * FOCAL + centre + generator.normal(0, noise_px, (inliers, 2)),
            generator.uniform(0, 1, (count - inliers, 2)) * size,
        ])
        for seen in (points, in_b)
    ]  # fmt: skip
    matches = np.tile(generator.permutation(count)[:, None], 2).astype(np.uint32)
    return *views, matches, matches[:, 0] < inliers


def similarities_of(true, seed):
    """Of matches, as descriptors have them: those of true ones are higher, but not all."""
    generator = np.random.default_rng(seed)
    return 0.7 + 0.05 * (generator.normal(0, 1, len(true)) + true)
