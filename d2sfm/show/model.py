"""The cameras and points of a model, at a slant and from above.

d2sfm show model sparse/0 --output model.png
"""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.plots.cameras import Poses, draw_cameras
from d2sfm.show.picture import Picture

MOST_POINTS = 60_000  # drawn, a sample of more
SURE = 3  # images that see a point: points of two are the least certain, and blur what is there


def show_model(model: Path | str = "sparse/0") -> Picture:
    """A model as a picture; ``d2sfm show model`` makes a page that turns.

    Raises FileNotFoundError where there is no model, RuntimeError where it can't be read.
    """
    return picture_of(read_model(Path(model)), str(Path(model)))


def picture_of(model: pycolmap.Reconstruction, name: str) -> Picture:
    """The same of a model that is loaded."""
    images = [model.images[image_id] for image_id in model.reg_image_ids()]
    rotations = [image.cam_from_world().rotation.matrix() for image in images]
    centres = [image.projection_center() for image in images]
    poses = Poses(np.reshape(centres, (-1, 3)), np.reshape(rotations, (-1, 3, 3)))
    points = [point for _, point in sorted(model.points3D.items())]
    sure = [point for point in points if point.track.length() >= SURE] or points
    kept = np.sort(np.random.default_rng(0).permutation(len(sure))[:MOST_POINTS])
    xyz, colours = (np.reshape([getattr(sure[row], what) for row in kept], (-1, 3)) for what in ("xyz", "color"))
    title = f"{name}: {len(images):,} images, {len(points):,} points"
    return Picture(
        name="model",
        title=title,
        is_photograph=False,
        draw=lambda theme: draw_cameras(poses, xyz, colours, theme=theme),
    )
