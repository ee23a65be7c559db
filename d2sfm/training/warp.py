"""Which cells of two crops show the same place: through the depth and camera of the one into the other.

Pure functions of arrays. They know nothing of the network, so they run beside it, in the loader's workers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from d2sfm.coordinates import (
    TRAINING_CELL_PX,
    crop_from_image,
    crop_from_training_grid,
    image_from_crop,
    nearest_training_cell,
)
from d2sfm.network.sampling import inside, sample


@dataclass(frozen=True)
class View:
    """A crop of a photograph with its geometry.

    depth: [h, w], along the camera's axis, 0 (or anything that is not above 0) where unknown; corner: (row, column) of
    the crop's first pixel in the photograph; intrinsics: [3, 3], pixels; cam_from_world: [4, 4].
    """

    depth: np.ndarray
    corner: tuple[int, int]
    intrinsics: np.ndarray
    cam_from_world: np.ndarray


@dataclass(frozen=True)
class DepthTolerance:
    """How far projected and measured depth may differ: strictly less than ``limit``, in the scene's unit, or as a
    share of the measured depth where ``relative``."""

    limit: float
    relative: bool = False

    def agree(self, projected: np.ndarray, measured: np.ndarray) -> np.ndarray:
        """[N] bool."""
        return np.abs(projected - measured) < self.limit * (measured if self.relative else 1.0)


class Warped(NamedTuple):
    """Positions that survive, [n, 2] (row, column) in crop pixels, and their indices among the given ones, [n]."""

    kept: np.ndarray
    in_crop1: np.ndarray
    in_crop2: np.ndarray


class Correspondences(NamedTuple):
    """Cells of the training grid, counted row by row, that show the same place, [n] int64, and where exactly."""

    cells1: np.ndarray
    cells2: np.ndarray
    in_crop1: np.ndarray  # [n, 2] (row, column) in crop pixels
    in_crop2: np.ndarray


def warp(positions: np.ndarray, view1: View, view2: View, tolerance: DepthTolerance) -> Warped:
    """Carry crop pixels of view 1 into view 2.

    positions: [N, 2] (row, column), crop pixels of view 1. One survives if the depth of view 1 is known around it, if
    it falls into view 2 with known depth around it, and if both depths agree.
    """
    depth1 = interpolate_depth(view1.depth, positions)
    kept = np.flatnonzero(depth1 > 0)
    rays = _homogeneous(image_from_crop(positions[kept], view1.corner)) @ np.linalg.inv(view1.intrinsics).T
    cam2_from_cam1 = view2.cam_from_world @ np.linalg.inv(view1.cam_from_world)
    in_camera2 = rays * depth1[kept, None] @ cam2_from_cam1[:3, :3].T + cam2_from_cam1[:3, 3]
    ahead = in_camera2[:, 2] > 0
    kept, in_camera2 = kept[ahead], in_camera2[ahead]
    projected = in_camera2 @ view2.intrinsics.T
    in_crop2 = crop_from_image(projected[:, :2] / projected[:, 2:], view2.corner)
    depth2 = interpolate_depth(view2.depth, in_crop2)
    agrees = (depth2 > 0) & tolerance.agree(in_camera2[:, 2], depth2)
    return Warped(kept[agrees], positions[kept[agrees]], in_crop2[agrees])


def corresponding_cells(view1: View, view2: View, tolerance: DepthTolerance) -> Correspondences:
    """The cells of crop 1 whose centres survive the warp, and the nearest cells of crop 2.

    Both crops are multiples of 8 px on each edge.
    """
    (rows, columns), columns2 = _grid_shape(view1), _grid_shape(view2)[1]
    cells = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
    warped = warp(crop_from_training_grid(cells), view1, view2, tolerance)
    row2, column2 = nearest_training_cell(warped.in_crop2).T
    return Correspondences(warped.kept, row2 * columns2 + column2, warped.in_crop1, warped.in_crop2)


def interpolate_depth(depth: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Bilinear depth at crop pixels (row, column), [N] float64; 0 outside, and where one of the four neighbours is
    unknown."""
    cells = torch.from_numpy(np.ascontiguousarray(positions, np.float64))
    in_view = inside(cells, *depth.shape).numpy()
    interpolated = np.zeros(len(positions))
    interpolated[in_view] = where_known(depth, lambda layers: sample(layers, cells[in_view]).T)
    return interpolated


def where_known(depth: np.ndarray, interpolate: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Bilinear samples of a depth map, 0 where a depth that is not above 0 contributes.

    depth: [h, w]; interpolate: takes [2, h, w] float64 and returns [2, ...]. Returns [...] float64.
    """
    known = depth > 0
    layers = torch.from_numpy(np.stack([np.where(known, depth, 0.0), ~known]).astype(np.float64))
    value, unknown_share = interpolate(layers).numpy()
    return np.where(unknown_share == 0, value, 0.0)


def _homogeneous(xy: np.ndarray) -> np.ndarray:
    return np.column_stack([xy, np.ones(len(xy))])


def _grid_shape(view: View) -> tuple[int, int]:
    height, width = view.depth.shape
    return height // TRAINING_CELL_PX, width // TRAINING_CELL_PX
