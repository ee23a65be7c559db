"""Patches of feature maps at fractional positions, stretched and turned, by Catmull-Rom interpolation."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_patches(cells: Tensor, centres: Tensor, bases: Tensor, side: int) -> Tensor:
    """Square patches of a map, [N, side * side, C] in the map's type, rows first.

    cells: [H, W, C]; centres: [N, 2] (x, y) in cells; bases: [N, 2, 2], the offset in cells of one step to the right
    (first column) and of one step down (second column) in the patch. Beyond the map its border is repeated.
    """
    height, width, channels = cells.shape
    steps = torch.arange(side, device=cells.device, dtype=torch.float32) - (side - 1) / 2
    grid = torch.cartesian_prod(steps, steps).flip(1)  # (right, down), rows first
    positions = centres[:, None].float() + grid @ bases.float().transpose(1, 2)
    corner = positions.floor()
    weights_x, weights_y = (_catmull_rom(share) for share in (positions - corner).unbind(-1))
    taps = torch.arange(-1, 3, device=cells.device)
    columns = (corner[..., 0, None].long() + taps).clamp_(0, width - 1)
    rows = (corner[..., 1, None].long() + taps).clamp_(0, height - 1)
    index = (rows[..., :, None] * width + columns[..., None, :]).view(-1, 16)
    weights = (weights_y[..., :, None] * weights_x[..., None, :]).view(-1, 16).to(cells.dtype)
    # One fused gather and weighted sum: the 16 corners of a sample are never laid out in memory.
    patches = F.embedding_bag(index, cells.view(-1, channels), per_sample_weights=weights, mode="sum")
    return patches.view(len(centres), side * side, channels)


def _catmull_rom(share: Tensor) -> Tensor:
    """Weights of the four cells around a position that lies ``share`` of the way between the middle two, [..., 4]."""
    t = share
    return torch.stack(
        [((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2],
        dim=-1,
    )
