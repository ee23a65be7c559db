"""Pictures and scenes whose geometry is known exactly, for the tests of every module."""

import numpy as np

from d2sfm.demo.scene import Camera, Quad, Scene


def gaussian_blob(
    size: tuple[int, int], centre_xy: tuple[float, float], sigma_px: float, dark: float = 40.0, bright: float = 220.0
) -> np.ndarray:
    """A bright Gaussian blob on a dark ground, [H, W, 3] uint8; size (width, height).

    centre_xy is in COLMAP's frame: the blob of centre (0.5, 0.5) sits on the centre of the top-left pixel.
    """
    width, height = size
    x, y = np.arange(width) + 0.5 - centre_xy[0], np.arange(height)[:, None] + 0.5 - centre_xy[1]
    grey = dark + (bright - dark) * np.exp(-(x**2 + y**2) / (2 * sigma_px**2))
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray, near_xy: np.ndarray, radius_px: float) -> np.ndarray:
    """Centre of mass, [2] in COLMAP's frame, of what is brighter than the darkest pixel within the radius."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.hypot(x - near_xy[0], y - near_xy[1]) <= radius_px
    weight = image.mean(axis=2)[inside]
    weight = weight - weight.min()
    return np.array([x[inside] @ weight, y[inside] @ weight]) / weight.sum()


def simple_camera(**changes) -> Camera:
    """A camera at the world's origin that looks along y, 120 x 80 px, with f = 100 px; ``changes`` replace its fields."""
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    fields = {"name": "view", "width": 120, "height": 80, "fx": 100.0, "fy": 100.0, "cx": 60.0, "cy": 40.0}
    return Camera(**{**fields, "rotation": upright, "translation": np.zeros(3), **changes})


def scene_of(*quads: Quad) -> Scene:
    """The quads under a grey sky."""
    return Scene(list(quads), sky=np.full((2, 3), 128.0), centre=np.array([0, 5.0, 0]), extent_m=5.0)


def wall(distance_m: float, texture: np.ndarray, size_m: tuple[float, float] = (40.0, 40.0)) -> Quad:
    """A wall that faces ``simple_camera``, its middle straight ahead."""
    width, height = size_m
    return Quad((-width / 2, distance_m, height / 2), (width, 0, 0), (0, 0, -height), texture)
