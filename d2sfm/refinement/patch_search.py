"""The position of a patch of one map in another: a search over whole steps, then a parabola on each axis."""

from typing import NamedTuple

import torch
from torch import Tensor

from d2sfm.refinement.patches import sample_patches

ROWS_AT_ONCE = 2  # of the reference; see _products


class Search(NamedTuple):
    """One search: the layer, the side of the patch and the reach of the search in cells."""

    layer: str
    side: int
    reach: int


def search_patches(cells: Tensor, centres: Tensor, bases: Tensor, references: Tensor, search: Search) -> Tensor:
    """Offsets of reference patches in a map from where the search begins, [N, 2] (right, down) in steps of the patch.

    cells, centres, bases: as for ``sample_patches``; references: [N, side * side, C]. The cost of a whole step is the
    squared difference summed over the patch; a parabola through the smallest and its two neighbours on each axis gives
    the fraction, at most half a step, and 0 where a neighbour lies beyond the reach.
    """
    count, channels, side, shifts = len(references), references.shape[2], search.side, 2 * search.reach + 1
    edge = side + shifts - 1
    window = sample_patches(cells, centres, bases, edge).view(count, edge, edge, channels)
    references = references.view(count, side, side, channels)
    squares = _squares(window)
    columns = torch.arange(shifts, device=cells.device)[:, None] + torch.arange(side, device=cells.device)
    # |w - r|^2 = |w|^2 - 2 w.r + |r|^2
    rows = [squares[:, down : down + side].sum(1)[:, columns].sum(2) for down in range(shifts)]
    of_references = _squares(references).sum((1, 2))[:, None, None]
    difference = torch.stack(rows, 1) - 2 * _products(window, references) + of_references
    return _minimum(difference.view(count, shifts * shifts) / side**2, shifts)


def _squares(cells: Tensor) -> Tensor:
    """Squared lengths over the last axis, float32."""
    return torch.linalg.vector_norm(cells, dim=-1, dtype=torch.float32).square()


def _products(window: Tensor, references: Tensor) -> Tensor:
    """Products of references [N, side, side, C] with all places in windows [N, edge, edge, C]: [N, shifts, shifts].

    Of all cells in a few rows with all in the rows that they may lie on: most of these products are not needed, but
    matrices of this size are multiplied three times faster than those of single rows. Only so much is ever float32.
    """
    count, edge, _, channels = window.shape
    side = references.shape[1]
    shifts = edge - side + 1
    found = torch.zeros(count, shifts, shifts, device=window.device)
    for begin in range(0, side, ROWS_AT_ONCE):
        end = min(begin + ROWS_AT_ONCE, side)
        here = references[:, begin:end].reshape(count, (end - begin) * side, channels).float()
        there = window[:, begin : end + shifts - 1].reshape(count, (end - begin + shifts - 1) * edge, channels).float()
        product = torch.bmm(here, there.transpose(1, 2)).view(count, end - begin, side, end - begin + shifts - 1, edge)
        row, column, down, right = torch.meshgrid(
            *(torch.arange(n, device=window.device) for n in (end - begin, side, shifts, shifts)), indexing="ij"
        )
        found += product[:, row, column, row + down, column + right].sum((1, 2))
    return found


def _minimum(cost: Tensor, edge: int) -> Tensor:
    """cost: [N, edge * edge]."""
    best = cost.argmin(1)
    row, column = best // edge, best % edge
    lowest = cost.gather(1, best[:, None])[:, 0]
    offsets = []
    for place, stride in ((column, 1), (row, edge)):
        at_border = (place == 0) | (place == edge - 1)
        before = cost.gather(1, (best - stride).clamp(min=0)[:, None])[:, 0]
        after = cost.gather(1, (best + stride).clamp(max=edge * edge - 1)[:, None])[:, 0]
        curvature = before - 2 * lowest + after
        fraction = ((before - after) / (2 * curvature).clamp(min=1e-12)).clamp(-0.5, 0.5)
        offsets.append(place - edge // 2 + torch.where(at_border, 0.0, fraction))
    return torch.stack(offsets, 1)
