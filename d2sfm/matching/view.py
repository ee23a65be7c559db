"""What matching knows of an image."""

from typing import NamedTuple

import numpy as np
import pycolmap


class View(NamedTuple):
    """Data of an image for verification: its camera, x, y of its keypoints, [N, 2] float32 in COLMAP's frame, and its
    pose, if it is known. The camera of a known pose is known, too."""

    camera: pycolmap.Camera
    keypoints: np.ndarray
    cam_from_world: pycolmap.Rigid3d | None = None

    @property
    def nbytes(self) -> int:
        return self.keypoints.nbytes
