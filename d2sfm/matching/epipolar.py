"""Errors of matches under a known relative pose or a geometry."""

import numpy as np
import pycolmap

from d2sfm.matching.view import View

_Kind = pycolmap.TwoViewGeometryConfiguration


def epipolar_errors_px(
    camera_a: pycolmap.Camera, xy_a: np.ndarray, camera_b: pycolmap.Camera, xy_b: np.ndarray, b_from_a: pycolmap.Rigid3d
) -> np.ndarray:
    """Errors of pairs of points under a relative pose, in pixels of the photographs, [M] float64.

    xy_a, xy_b: [M, 2] in the same. The error is Sampson's, on the plane z = 1 of the cameras, over the mean of both
    cameras' pixels on it, as in COLMAP's verification; with a panorama, which has no such plane, on the unit spheres.
    It is NaN for points that a camera can't see, and for pairs of one place.
    """
    xy_a, xy_b = (np.asarray(xy, np.float64).reshape(-1, 2) for xy in (xy_a, xy_b))
    return _calibrated_errors_px(camera_a, xy_a, camera_b, xy_b, pycolmap.essential_matrix_from_pose(b_from_a))


def geometry_of_poses(
    a: View, b: View, b_from_a: pycolmap.Rigid3d, matches: np.ndarray, max_error_px: float
) -> pycolmap.TwoViewGeometry:
    """The geometry of a known relative pose, with those of the matches, [M, 2], that agree with it."""
    xy_a, xy_b = (view.keypoints[of_image] for view, of_image in zip((a, b), matches.T, strict=True))
    errors = epipolar_errors_px(a.camera, xy_a, b.camera, xy_b, b_from_a)
    geometry = pycolmap.TwoViewGeometry()
    geometry.config = _Kind.CALIBRATED
    geometry.cam2_from_cam1 = b_from_a
    geometry.E = pycolmap.essential_matrix_from_pose(b_from_a)
    geometry.inlier_matches = matches[errors <= max_error_px].astype(np.uint32)
    return geometry


def errors_px(a: View, b: View, matches: np.ndarray, geometry: pycolmap.TwoViewGeometry) -> np.ndarray:
    """Errors of matches, [M, 2], under a two-view geometry, in pixels of the photographs, [M] float64.

    Sampson's under the essential matrix for calibrated cameras, else the fundamental one; for a plane or a panorama
    that of the homography if it is smaller.
    """
    xy_a, xy_b = (view.keypoints[of_image].astype(np.float64) for view, of_image in zip((a, b), matches.T, strict=True))
    if geometry.config == _Kind.CALIBRATED:
        return _calibrated_errors_px(a.camera, xy_a, b.camera, xy_b, geometry.E)
    errors = np.full(len(matches), np.inf)
    if geometry.F is not None:
        errors = np.sqrt(pycolmap.compute_squared_sampson_error(xy_a, xy_b, geometry.F))
    if geometry.config == _Kind.UNCALIBRATED or geometry.H is None:
        return errors
    moved = np.column_stack([xy_a, np.ones(len(xy_a))]) @ geometry.H.T
    return np.fmin(errors, np.linalg.norm(moved[:, :2] / moved[:, 2:] - xy_b, axis=1))


def _calibrated_errors_px(
    camera_a: pycolmap.Camera, xy_a: np.ndarray, camera_b: pycolmap.Camera, xy_b: np.ndarray, essential: np.ndarray
) -> np.ndarray:
    if camera_a.is_spherical() or camera_b.is_spherical():
        squares = _squares_on_spheres(camera_a.cam_ray_from_img(xy_a), camera_b.cam_ray_from_img(xy_b), essential)
    else:
        rays = camera_a.cam_from_img(xy_a), camera_b.cam_from_img(xy_b)
        squares = pycolmap.compute_squared_sampson_error(*rays, essential)
    return np.sqrt(squares) / (1 / _px_per_radian(camera_a) + 1 / _px_per_radian(camera_b)) * 2


def _squares_on_spheres(rays_a: np.ndarray, rays_b: np.ndarray, essential: np.ndarray) -> np.ndarray:
    """Sampson's errors of unit rays, [M, 3] each, where they move on the unit spheres, in radians, squared."""
    normals_a, normals_b = rays_b @ essential, rays_a @ essential.T  # of the epipolar planes
    off = (rays_b * normals_b).sum(axis=1)
    with np.errstate(invalid="ignore"):  # of one place
        return off**2 / ((normals_a**2).sum(axis=1) + (normals_b**2).sum(axis=1) - 2 * off**2)


def _px_per_radian(camera: pycolmap.Camera) -> float:
    """In the middle of a photograph."""
    return camera.width / (2 * np.pi) if camera.is_spherical() else camera.mean_focal_length()
