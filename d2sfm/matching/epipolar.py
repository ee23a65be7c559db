"""Matches that a known relative pose agrees with."""

import numpy as np
import pycolmap


def agreeing(
    camera_a: pycolmap.Camera,
    xy_a: np.ndarray,
    camera_b: pycolmap.Camera,
    xy_b: np.ndarray,
    b_from_a: pycolmap.Rigid3d,
    max_error_px: float,
) -> np.ndarray:
    """Which pairs of points the relative pose agrees with: [M] bool.

    xy_a, xy_b: [M, 2] in pixels of the photographs. The error is Sampson's, on the plane z = 1 of the cameras, and its
    limit the mean over both cameras of max_error_px over the focal length, as in COLMAP's verification. Points that a
    camera can't see and pairs of one place agree with nothing.
    """
    xy_a, xy_b = (np.asarray(xy, np.float64).reshape(-1, 2) for xy in (xy_a, xy_b))
    rays = camera_a.cam_from_img(xy_a), camera_b.cam_from_img(xy_b)
    squares = pycolmap.compute_squared_sampson_error(*rays, pycolmap.essential_matrix_from_pose(b_from_a))
    limit = max_error_px * (1 / camera_a.mean_focal_length() + 1 / camera_b.mean_focal_length()) / 2
    return np.array(squares) <= limit**2
