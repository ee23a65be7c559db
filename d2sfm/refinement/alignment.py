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
    reach, side = stage.reach, stage.side
    window = sample_patches(cells, centres, bases, side + 2 * reach).float()
    references = references.float()
    # |w - r|^2 = |w|^2 - 2 w.r + |r|^2 for all pairs of cells at once, then summed along each shift.
    product = torch.bmm(window, references.transpose(1, 2))  # [N, S^2, P^2]
    shifted = _shifts(side, reach, cells.device)  # [shifts, P^2] cells of the window
    difference = window.square().sum(2)[:, shifted].sum(2)
    within = torch.arange(side * side, device=cells.device)
    difference -= 2 * product[:, shifted, within].sum(2)
    difference += references.square().sum((1, 2))[:, None]
    return _minimum(difference / side**2, 2 * reach + 1)


def _shifts(side: int, reach: int, device: torch.device) -> Tensor:
    """Index in the window of each cell of the patch, for each shift: [(2 reach + 1)^2, side^2]."""
    edge = side + 2 * reach
    moves = torch.arange(2 * reach + 1, device=device)
    starts = (moves[:, None] * edge + moves).view(-1, 1)
    along = torch.arange(side, device=device)
    return starts + (along[:, None] * edge + along).view(1, -1)


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
