"""What is known exactly of a rendered scene: depth anywhere, and where another camera sees the same."""

import numpy as np

from d2sfm.demo.rendering import cast, plane_matrices
from d2sfm.demo.scene import Camera, Scene, project


def sees(camera: Camera, xy: np.ndarray) -> np.ndarray:
    """Which pixels lie inside the picture; xy [N, 2], NaN is outside. Returns bool [N]."""
    return ((xy >= 0) & (xy <= (camera.width, camera.height))).all(axis=1)


def unproject(camera: Camera, xy: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Points in the world at pixels xy [N, 2] with depth [N], which is z in the camera in metres. Returns [N, 3]."""
    depth = np.asarray(depth, np.float64)[:, None]
    on_plane = (np.asarray(xy, np.float64) - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    return (np.hstack([on_plane * depth, depth]) - camera.translation) @ camera.rotation


def depth_at(scene: Scene, camera: Camera, xy: np.ndarray) -> np.ndarray:
    """Exact depth in metres at any pixels xy [N, 2], by casting a ray through each; 0 where it meets the sky. [N]."""
    matrices = plane_matrices(scene, camera)
    x, y = np.asarray(xy, np.float64).reshape(-1, 2).T
    _, inverse_depth = cast(matrices, range(len(matrices)), x, y)
    return np.divide(1, inverse_depth, out=np.zeros_like(inverse_depth), where=inverse_depth > 0)


def transfer(scene: Scene, camera_a: Camera, camera_b: Camera, xy_in_a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where camera_b sees the surface points that camera_a sees at xy_in_a [N, 2].

    Returns xy_in_b [N, 2], NaN where a sees the sky or the point is behind b, and the mask of points that b really
    sees, bool [N]: inside its picture, with nothing in front.
    """
    depth_in_a = depth_at(scene, camera_a, xy_in_a)
    points = unproject(camera_a, xy_in_a, np.where(depth_in_a > 0, depth_in_a, np.nan))
    xy_in_b = project(camera_b, points)
    visible = sees(camera_b, xy_in_b)
    expected = (points @ camera_b.rotation.T + camera_b.translation)[visible, 2]
    visible[visible] = np.abs(depth_at(scene, camera_b, xy_in_b[visible]) - expected) <= 1e-6 * expected
    return xy_in_b, visible
