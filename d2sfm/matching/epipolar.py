"""How well matches agree with a known relative pose."""

import numpy as np
import pycolmap


def epipolar_errors_px(
    camera_a: pycolmap.Camera, xy_a: np.ndarray, camera_b: pycolmap.Camera, xy_b: np.ndarray, b_from_a: pycolmap.Rigid3d
) -> np.ndarray:
    """Errors of pairs of points under a relative pose, in pixels of the photographs, [M] float64.

    xy_a, xy_b: [M, 2] in the same. The error is Sampson's, on the plane z = 1 of the cameras, over the mean of both
    cameras' pixels on it, as COLMAP's verification takes its limit. It is NaN for points that a camera can't see, and
    for pairs of one place.
    """
    xy_a, xy_b = (np.asarray(xy, np.float64).reshape(-1, 2) for xy in (xy_a, xy_b))
    rays = camera_a.cam_from_img(xy_a), camera_b.cam_from_img(xy_b)
    squares = pycolmap.compute_squared_sampson_error(*rays, pycolmap.essential_matrix_from_pose(b_from_a))
    return np.sqrt(squares) / (1 / camera_a.mean_focal_length() + 1 / camera_b.mean_focal_length()) * 2
