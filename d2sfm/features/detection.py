"""Hard detection and the sub-pixel step (paper, section 3.1, and the published extractor); soft scores for training.

A cell is a keypoint if its channel with the highest response is also at a 3x3 spatial maximum there, away from edges.
Only that channel of a cell is used, so hard detection makes no other map of all 512 channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

EDGE_RATIO = 5.0  # largest ratio of the principal curvatures, as SIFT's edge test with 10
MAX_STEP = 0.5  # cells; a larger step belongs to a neighbouring cell
# Offsets (row, column) of the eight neighbours.
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


class Detections(NamedTuple):
    """Detected cells in row-major order: position, channel, and response there."""

    cells: Tensor  # [N, 2] int64 (row, column)
    channels: Tensor  # [N] int64
    responses: Tensor  # [N]


class Neighbourhood(NamedTuple):
    """Responses around detections in their channels, [N] each, 0 outside the map; north is the row above."""

    nw: Tensor
    n: Tensor
    ne: Tensor
    w: Tensor
    e: Tensor
    sw: Tensor
    s: Tensor
    se: Tensor

    def hessian(self, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives (rows, mixed, columns)."""
        rows = self.n - 2 * centre + self.s
        mixed = 0.25 * (self.nw - self.ne - self.sw + self.se)
        columns = self.w - 2 * centre + self.e
        return rows, mixed, columns


def detect(features: Tensor, candidates: Tensor) -> Detections:
    """Cells that pass the channel, the 3x3 and the edge test.

    features: [C, H, W], a map or a part of its rows; candidates: [H, W] bool, cells that may be detected. In a part,
    candidates need the rows above and below them, if the map has these. If two channels tie at a cell, the lowest
    counts; equal neighbours in a channel all stay.
    """
    responses, channels = features.max(dim=0)
    rows, columns = candidates.nonzero(as_tuple=True)
    found = Detections(torch.stack([rows, columns], 1), channels[rows, columns], responses[rows, columns])
    for offset in NEIGHBOURS:
        # Neighbour by neighbour: after the first few, a small part of the cells is left.
        found = _select(found, found.responses >= _neighbour(features, found, offset, outside=-torch.inf))
    row_row, mixed, column_column = _neighbourhood(features, found).hessian(found.responses)
    determinant = row_row * column_column - mixed**2
    trace = row_row + column_column
    not_edge = (determinant > 0) & (trace**2 / determinant <= (EDGE_RATIO + 1) ** 2 / EDGE_RATIO)
    return _select(found, not_edge)


def localise(features: Tensor, found: Detections) -> tuple[Tensor, Tensor]:
    """One Newton step on the channel's response at each detection, -H^-1 g.

    Returns (steps [N, 2] float (row, column) in cells, stable [N] bool); a detection is stable if its step is below
    half a cell on both axes.
    """
    around = _neighbourhood(features, found)
    row_row, mixed, column_column = around.hessian(found.responses)
    gradient_row, gradient_column = 0.5 * (around.s - around.n), 0.5 * (around.e - around.w)
    determinant = row_row * column_column - mixed**2
    step_row = -(column_column * gradient_row - mixed * gradient_column) / determinant
    step_column = -(row_row * gradient_column - mixed * gradient_row) / determinant
    steps = torch.stack([step_row, step_column], 1)
    return steps, (steps.abs() < MAX_STEP).all(dim=1)


def soft_scores(features: Tensor) -> Tensor:
    """Soft detection scores (paper, section 3.2, equations 3 to 6): differentiable, and summing to 1 over a picture.

    features: [B, C, H, W], rectified here. Returns [B, H, W]. A cell without any response scores 0; a picture without
    any has no scores (NaN).
    """
    responses = features.relu()
    # Over the picture's largest response, so that the exponential neither overflows nor is flat.
    raised = (responses / responses.amax(dim=(1, 2, 3), keepdim=True)).exp()
    # Over the 3x3 mean instead of the sum, as a constant factor cancels. Beyond the border exp(0) is 1.
    local = raised / F.avg_pool2d(F.pad(raised, (1, 1, 1, 1), value=1.0), 3, stride=1)
    strongest = responses.amax(dim=1, keepdim=True)
    # Where nothing responds 0 / 0 would turn the loss, and then the weights, into NaN.
    channelwise = responses / strongest.where(strongest > 0, 1.0)
    scores = (local * channelwise).amax(dim=1)
    return scores / scores.sum(dim=(1, 2), keepdim=True)


def _select(found: Detections, keep: Tensor) -> Detections:
    return Detections(*(values[keep] for values in found))


def _neighbourhood(features: Tensor, found: Detections) -> Neighbourhood:
    return Neighbourhood(*(_neighbour(features, found, offset, outside=0.0) for offset in NEIGHBOURS))


def _neighbour(features: Tensor, found: Detections, offset: tuple[int, int], outside: float) -> Tensor:
    """Response at a neighbouring cell in the detection's channel, [N]; ``outside`` beyond the map's border."""
    height, width = features.shape[1:]
    row, column = found.cells[:, 0] + offset[0], found.cells[:, 1] + offset[1]
    values = features[found.channels, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    in_map = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return torch.where(in_map, values, outside)
