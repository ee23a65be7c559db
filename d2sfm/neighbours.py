"""Mutual nearest neighbours of two sets of descriptors."""

from dataclasses import dataclass

import numpy as np
import torch

from d2sfm.device import resolve_device
from d2sfm.options import MatchingOptions

BLOCK_ROWS = 1024  # 4 KiB of similarities for each descriptor of the other image; larger blocks are no faster


def mutual_nearest_neighbours(
    descriptors_a: np.ndarray | torch.Tensor,
    descriptors_b: np.ndarray | torch.Tensor,
    options: MatchingOptions | None = None,
    *,
    block_rows: int = BLOCK_ROWS,
) -> np.ndarray:
    """Pairs of descriptors that are each other's nearest by cosine similarity, exactly.

    descriptors_a: [N, D], descriptors_b: [M, D], float16 or float32, rows of unit length; N and M may be 0. They are
        compared in float32 on options.device.
    block_rows: rows of a whose similarities are held at a time; the result does not depend on it but for rounding.

    Where several descriptors are equally near, the one with the lowest index is the neighbour, in both directions.
    options.ratio keeps a match where the distance d = sqrt(2 - 2 cos) to the neighbour is below ratio times the
    distance to the second nearest, from both sides (a tie is never kept; a set of one descriptor has no second nearest
    and lets every match pass); max_distance and min_similarity are limits that are themselves allowed.

    Returns [K, 2] uint32, indices into a and b, ascending in a. Raises ValueError where shapes do not fit.
    """
    options = options or MatchingOptions()
    device = resolve_device(options.device)
    a = torch.as_tensor(descriptors_a).to(device, torch.float32)
    b = torch.as_tensor(descriptors_b).to(device, torch.float32)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"descriptors have shapes {tuple(a.shape)} and {tuple(b.shape)}, expected (N, D) and (M, D)")
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.uint32)

    of_a, of_b = _nearest(a, b, with_second=options.ratio is not None, block_rows=block_rows)
    index_a = torch.arange(len(a), device=device)
    keep = of_b.index[of_a.index] == index_a
    keep &= _within_limits(of_a, of_b, options)
    return torch.stack([index_a[keep], of_a.index[keep]], dim=1).cpu().numpy().astype(np.uint32)


@dataclass(frozen=True)
class _Nearest:
    """The nearest descriptor of the other set for each descriptor of one: its index and similarity, each [N]."""

    index: torch.Tensor
    similarity: torch.Tensor
    second: torch.Tensor | None  # the second largest similarity (-inf: none), where it was asked for


def _nearest(a: torch.Tensor, b: torch.Tensor, *, with_second: bool, block_rows: int) -> tuple[_Nearest, _Nearest]:
    """Nearest neighbours from a to b and from b to a, from one product that is made in blocks of rows."""
    rows, columns = [], None
    for start in range(0, len(a), block_rows):
        similarity = a[start : start + block_rows] @ b.T
        rows.append(_largest(similarity, 1, with_second))
        block = _largest(similarity, 0, with_second, first=start)
        columns = block if columns is None else _merge(columns, block)
    of_a = _Nearest(
        torch.cat([row.index for row in rows]),
        torch.cat([row.similarity for row in rows]),
        torch.cat([row.second for row in rows]) if with_second else None,
    )
    return of_a, columns


def _largest(similarity: torch.Tensor, dim: int, with_second: bool, first: int = 0) -> _Nearest:
    """The largest value along a dimension, its lowest index (counted from first), and the second largest value."""
    value, index = similarity.max(dim)
    index += first
    if not with_second:
        return _Nearest(index, value, None)
    if similarity.shape[dim] < 2:
        return _Nearest(index, value, torch.full_like(value, -torch.inf))
    return _Nearest(index, value, similarity.topk(2, dim).values.select(dim, 1))


def _merge(earlier: _Nearest, later: _Nearest) -> _Nearest:
    """The nearest of two blocks; the earlier one where they are equally near, as its indices are lower."""
    second = None
    if earlier.second is not None:
        loser = torch.minimum(earlier.similarity, later.similarity)
        second = torch.maximum(loser, torch.maximum(earlier.second, later.second))
    nearer = later.similarity > earlier.similarity
    return _Nearest(
        torch.where(nearer, later.index, earlier.index),
        torch.where(nearer, later.similarity, earlier.similarity),
        second,
    )


def _within_limits(of_a: _Nearest, of_b: _Nearest, options: MatchingOptions) -> torch.Tensor:
    """Which descriptors of a have a nearest neighbour that passes the optional limits, [N] bool."""
    keep = torch.ones_like(of_a.index, dtype=torch.bool)
    if options.min_similarity is not None:
        keep &= of_a.similarity >= options.min_similarity
    if options.max_distance is not None:
        keep &= _distance(of_a.similarity) <= options.max_distance
    if options.ratio is not None:
        keep &= _distinct(of_a, options.ratio)
        keep &= _distinct(of_b, options.ratio)[of_a.index]
    return keep


def _distinct(nearest: _Nearest, ratio: float) -> torch.Tensor:
    """The ratio test; a missing second neighbour is infinitely far."""
    return _distance(nearest.similarity) < ratio * _distance(nearest.second)


def _distance(similarity: torch.Tensor) -> torch.Tensor:
    """Euclidean distance of unit vectors; rounding may take their similarity above 1."""
    return (2 - 2 * similarity).clamp(min=0).sqrt()
