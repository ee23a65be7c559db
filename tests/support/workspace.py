"""A workspace of COLMAP's dense reconstruction, rendered."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from support.megadepth_scene import MegaDepthScene


def write_workspace(scene: MegaDepthScene, workspace: Path) -> Path:
    """The undistorted photographs and model of a scene, and depth maps of half their size; returns the folder."""
    shutil.copytree(scene.undistorted, workspace)
    for name in scene.names:
        exact = scene.depth(name)
        # Half size, as patch match leaves it with a size limit, and below 0 where a pixel saw some sky.
        size = (exact.shape[1] // 2, exact.shape[0] // 2)
        half, known = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (exact, np.float32(exact > 0)))
        half = np.where(known == 1, half, np.float32(-1))
        path = workspace / "stereo" / "depth_maps" / f"{name}.geometric.bin"
        pycolmap.DepthMap.from_array(half, 0.1, 100).write(path)
    return workspace
