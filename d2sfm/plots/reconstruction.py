"""A COLMAP model as a picture: its cameras and points, at a slant and from above."""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import placed_images, read_model
from d2sfm.plots.cameras import Poses, draw_cameras
from d2sfm.plots.canvas import png
from d2sfm.plots.palette import DARK, Theme

MOST_POINTS = 60_000  # drawn, a sample of more
SURE = 3  # images that see a point: points of two are the least certain, and blur what is there


def draw_reconstruction(model: pycolmap.Reconstruction, theme: Theme = DARK) -> np.ndarray:
    """Cameras and the points of three images or more, or of all if there are none: [H, W, 3] uint8 RGB."""
    images = placed_images(model)
    rotations = [image.cam_from_world().rotation.matrix() for image in images]
    centres = [image.projection_center() for image in images]
    poses = Poses(np.reshape(centres, (-1, 3)), np.reshape(rotations, (-1, 3, 3)))
    points = [point for _, point in sorted(model.points3D.items())]
    points = [point for point in points if point.track.length() >= SURE] or points
    kept = np.sort(np.random.default_rng(0).permutation(len(points))[:MOST_POINTS])
    xyz, colours = (np.reshape([getattr(points[row], what) for row in kept], (-1, 3)) for what in ("xyz", "color"))
    return draw_cameras(poses, xyz, colours, theme=theme)


def model_png(folder: Path) -> bytes | None:
    """The picture of a model on the disk as a PNG; None if it is gone by now."""
    try:
        return png(draw_reconstruction(read_model(folder)))
    except FileNotFoundError:
        return None
