"""Bilinear interpolation of feature maps."""

import torch
from torch import Tensor


def sample(features: Tensor, cells: Tensor) -> Tensor:
    """Features at fractional positions, each the bilinear mean of its four corner cells.

    features: [C, H, W]; cells: [N, 2] float (row, column), inside the map: 0 <= row <= H - 1, 0 <= column <= W - 1
    (see ``inside``). Returns [N, C].
    """
    channels, height, width = features.shape
    flat = features.permute(1, 2, 0).reshape(height * width, channels)  # a view where channels are stored last
    corner = cells.floor()
    (row, column), (row_share, column_share) = corner.long().unbind(1), (cells - corner)[:, :, None].unbind(1)
    # At a whole position the far corner has no weight, and may lie outside the map.
    next_row, next_column = (row + 1).clamp(max=height - 1), (column + 1).clamp(max=width - 1)
    near = torch.lerp(flat[row * width + column], flat[row * width + next_column], column_share)
    far = torch.lerp(flat[next_row * width + column], flat[next_row * width + next_column], column_share)
    return torch.lerp(near, far, row_share)


def inside(cells: Tensor, height: int, width: int) -> Tensor:
    """Which positions [N, 2] (row, column) have all four corner cells inside a map of that size: [N] bool."""
    rows, columns = cells.unbind(1)
    return (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)


def resample(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Features on a grid of fractional positions; positions outside the map take its border.

    features: [..., H, W]; rows: [h] and columns: [w] float positions on the map. Returns [..., h, w].
    """
    return _resample_axis(_resample_axis(features, rows, -2), columns, -1)


def _resample_axis(features: Tensor, positions: Tensor, axis: int) -> Tensor:
    last = features.shape[axis] - 1
    positions = positions.clamp(0, last)
    corner = positions.floor()
    share = (positions - corner).view(-1, *[1] * (-1 - axis)).to(features.dtype)
    near = features.index_select(axis, corner.long())
    far = features.index_select(axis, (corner.long() + 1).clamp(max=last))
    return torch.lerp(near, far, share)
