"""Where a patch of one map lies in another: a search over whole steps, then a parabola on each axis."""

from typing import NamedTuple

import torch
from torch import Tensor

from d2sfm.refinement.patches import sample_patches


class Stage(NamedTuple):
    """One search: the layer, the side of the patch and the reach of the search in cells."""

    layer: str
    side: int
    reach: int


class Found(NamedTuple):
    """Offsets from where the search began, and how far they can be trusted."""

    steps: Tensor  # [N, 2] (right, down) in steps of the patch
    cost: Tensor  # [N] mean squared difference of the cells at the best whole step, 0 to 4
    sharpness: Tensor  # [N] smaller of the two curvatures there, per cell


def align(cells: Tensor, centres: Tensor, bases: Tensor, references: Tensor, stage: Stage) -> Found:
    """Find reference patches in a map.

    cells, centres, bases: as for ``sample_patches``; references: [N, side * side, C]. The cost of a whole step is the
    squared difference summed over the patch; a parabola through the smallest and its two neighbours on each axis gives
    the fraction, at most half a step, and 0 where a neighbour lies beyond the reach.
    """
    count, channels, side, shifts = len(references), references.shape[2], stage.side, 2 * stage.reach + 1
    edge = side + shifts - 1
    window = sample_patches(cells, centres, bases, edge).float().view(count, edge, edge, channels)
    references = references.float().view(count, side, side, channels)
    # |w - r|^2 = |w|^2 - 2 w.r + |r|^2, with w.r of whole rows at once: [N, side, edge, side] for each shift down.
    squares = window.square().sum(3)
    columns = torch.arange(shifts, device=cells.device)[:, None] + torch.arange(side, device=cells.device)
    of_patch = torch.arange(side, device=cells.device)
    rows = []
    for down in range(shifts):
        product = window[:, down : down + side] @ references.transpose(2, 3)
        along = product[:, :, columns, of_patch].sum((1, 3))  # [N, shifts]
        rows.append(squares[:, down : down + side].sum(1)[:, columns].sum(2) - 2 * along)
    difference = torch.stack(rows, 1).view(count, shifts * shifts) + references.square().sum((1, 2, 3))[:, None]
    return _minimum(difference / side**2, shifts)


def _minimum(cost: Tensor, edge: int) -> Found:
    """cost: [N, edge * edge]."""
    best = cost.argmin(1)
    row, column = best // edge, best % edge
    lowest = cost.gather(1, best[:, None])[:, 0]
    offsets, curvatures = [], []
    for place, stride in ((column, 1), (row, edge)):
        at_border = (place == 0) | (place == edge - 1)
        before = cost.gather(1, (best - stride).clamp(min=0)[:, None])[:, 0]
        after = cost.gather(1, (best + stride).clamp(max=edge * edge - 1)[:, None])[:, 0]
        curvature = before - 2 * lowest + after
        fraction = ((before - after) / (2 * curvature).clamp(min=1e-12)).clamp(-0.5, 0.5)
        offsets.append(place - edge // 2 + torch.where(at_border, 0.0, fraction))
        curvatures.append(torch.where(at_border, 0.0, curvature))
    return Found(torch.stack(offsets, 1), lowest, torch.minimum(*curvatures))
