"""The loss of a training pair (paper, section 3.3): a triplet margin on descriptors, weighted by detection scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

MARGIN = 1.0  # equation 9
SAFE_RADIUS = 4  # cells, maximum norm; nearer ones are no negatives (section 3.3)


def pair_loss(features1: Tensor, features2: Tensor, scores1: Tensor, scores2: Tensor, cells: Tensor) -> Tensor:
    """Loss of one pair, a scalar: sum(s1 s2 max(0, 1 + p - n)) / sum(s1 s2) over corresponding cells (equation 12).

    features1, features2: [C, H, W], not rectified; scores1, scores2: [H, W] soft detection scores; cells: [2, K] int64,
    corresponding cells of both pictures, counted row by row. p is the squared distance of the two descriptors, n the
    smaller of the squared distances to the hardest negative in either picture (equations 7 to 9). NaN where there are
    no correspondences, or none with a score.
    """
    cells1, cells2 = cells
    all1, all2 = F.normalize(features1.flatten(1), dim=0), F.normalize(features2.flatten(1), dim=0)
    anchors1, anchors2 = all1[:, cells1], all2[:, cells2]
    positive = squared_distance(anchors1, anchors2)
    in_picture2 = all2[:, hardest_negatives(anchors1, all2, cells2, features2.shape[2])]
    in_picture1 = all1[:, hardest_negatives(anchors2, all1, cells1, features1.shape[2])]
    negative = torch.minimum(squared_distance(anchors1, in_picture2), squared_distance(anchors2, in_picture1))
    weights = scores1.flatten()[cells1] * scores2.flatten()[cells2]
    return (weights * F.relu(MARGIN + positive - negative)).sum() / weights.sum()


@torch.no_grad()
def hardest_negatives(anchors: Tensor, descriptors: Tensor, partners: Tensor, width: int) -> Tensor:
    """The most similar cell farther than the safe radius from the anchor's partner, [K] int64.

    anchors: [C, K] unit descriptors of one picture; descriptors: [C, H * W], all of the other, ``width`` cells a row;
    partners: [K] int64, where the anchors are seen in it. The gradient goes through the chosen cells alone, so the
    matrix of similarities is neither kept for it nor copied for the mask.
    """
    similarity = anchors.mT @ descriptors
    rows, columns = (torch.arange(size, device=partners.device) for size in (descriptors.shape[1] // width, width))
    near_row = (rows - (partners // width)[:, None]).abs() <= SAFE_RADIUS
    near_column = (columns - (partners % width)[:, None]).abs() <= SAFE_RADIUS
    near = (near_row[:, :, None] & near_column[:, None, :]).flatten(1)
    return similarity.masked_fill_(near, -torch.inf).argmax(dim=1)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distance of unit descriptors, [C, K] each, as 2 - 2 cos: [K]."""
    return 2 - 2 * (a * b).sum(dim=0)
