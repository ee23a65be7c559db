"""Matches that a geometry allows: where it is known how two pictures lie to each other, the match of a keypoint is the
most similar one in the right place.

Of two pictures that differ much the true one is often the second or the fifth, and so it is on a front of windows, all
of which look alike.
"""

from dataclasses import dataclass

import numpy as np
import pycolmap
import torch

from d2sfm.matching.neighbours import BLOCK_ROWS, product, product_precision
from d2sfm.matching.prosac import Relation, plane_errors

NEIGHBOURS = 10  # most similar descriptors of the other picture that are looked at


@dataclass(frozen=True, kw_only=True)
class Guide:
    """What a geometry says of the keypoints of two pictures.

    xy_a, xy_b: [N, 2] and [M, 2] float64, positions for which matrix, [3, 3] from a to b, holds: the fundamental matrix
    or homography that relation says. max_error_px: that is allowed, in the same pixels.
    """

    relation: Relation
    matrix: np.ndarray
    xy_a: np.ndarray
    xy_b: np.ndarray
    max_error_px: float

    def allows(self, pairs: np.ndarray) -> np.ndarray:
        """Which pairs of indices, [P, 2], agree with the geometry: [P] bool. Errors are COLMAP's (Sampson's)."""
        a, b = self.xy_a[pairs[:, 0]], self.xy_b[pairs[:, 1]]
        if self.relation is Relation.PLANE:
            return plane_errors(a, b, self.matrix) <= self.max_error_px
        return np.array(pycolmap.compute_squared_sampson_error(a, b, self.matrix)) <= self.max_error_px**2


@torch.inference_mode()
def guided_matches(
    descriptors_a: torch.Tensor, descriptors_b: torch.Tensor, guide: Guide, *, block_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of descriptors that are each other's nearest of those that a geometry allows.

    descriptors_a: [N, D], descriptors_b: [M, D], float16 or float32 on one device, rows of unit length; N and M may be
    0, and below the number of positions, of which the first ones are theirs. block_rows: as of
    ``mutual_nearest_neighbours``.

    Only the ``NEIGHBOURS`` most similar ones of each descriptor count, from either side. All mutual nearest neighbours
    that the geometry allows are in the result: it costs no match that agreed before.
    Returns [K, 2] uint32, indices into a and b, ascending in a, and their cosine similarities, [K] float16.
    """
    if not len(descriptors_a) or not len(descriptors_b):
        return np.zeros((0, 2), np.uint32), np.zeros(0, np.float16)
    pairs, similarity = _nearest_few(descriptors_a, descriptors_b, block_rows or BLOCK_ROWS[descriptors_a.device.type])
    allowed = guide.allows(pairs)
    pairs, similarity = pairs[allowed], similarity[allowed]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -similarity))  # of equal ones that of the lowest indices is nearer
    firsts = [order[np.unique(of_side[order], return_index=True)[1]] for of_side in pairs.T]
    mutual = np.intersect1d(*firsts, assume_unique=True)
    mutual = mutual[np.argsort(pairs[mutual, 0])]
    return pairs[mutual].astype(np.uint32), similarity[mutual].astype(np.float16)


def _nearest_few(a: torch.Tensor, b: torch.Tensor, block_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in which one is among the most similar few of the other: [P, 2] int64, each once, and similarities [P]."""
    rows_of_a, columns_of_a, values_of_a = [], [], []
    rows_of_b = torch.zeros((len(b), 0), dtype=torch.int64, device=b.device)
    values_of_b = torch.zeros((len(b), 0), device=b.device)
    with product_precision(b.device, exact_in_tf32=a.dtype == b.dtype == torch.float16):
        b = b.to(torch.float32).contiguous()
        for start in range(0, len(a), block_rows):
            similarity = product(b, a[start : start + block_rows].to(torch.float32))
            count = similarity.shape[1]
            values, columns = similarity.topk(min(NEIGHBOURS, len(b)), dim=0)
            rows_of_a.append(torch.arange(start, start + count, device=b.device).expand_as(columns).flatten())
            columns_of_a.append(columns.flatten())
            values_of_a.append(values.flatten())
            values, rows = similarity.topk(min(NEIGHBOURS, count), dim=1)  # of this block, and then of all until now
            values_of_b = torch.cat([values_of_b, values], dim=1)
            values_of_b, place = values_of_b.topk(min(NEIGHBOURS, values_of_b.shape[1]), dim=1)
            rows_of_b = torch.cat([rows_of_b, rows + start], dim=1).gather(1, place)
    columns_of_b = torch.arange(len(b), device=b.device)[:, None].expand_as(rows_of_b)
    rows = torch.cat([*rows_of_a, rows_of_b.flatten()]).cpu().numpy()
    columns = torch.cat([*columns_of_a, columns_of_b.flatten()]).cpu().numpy()
    values = torch.cat([*values_of_a, values_of_b.flatten()]).cpu().numpy()
    _, first = np.unique(rows * len(b) + columns, return_index=True)
    return np.column_stack([rows, columns])[first], values[first]
