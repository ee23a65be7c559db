"""Mutual nearest neighbours of two sets of descriptors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch

from d2sfm.network.device import resolve_device
from d2sfm.options import MatchingOptions

# Rows of a at a time, by measurement: on a CPU the block stays in the last cache while it is reduced (1 KiB for each
# descriptor of b) and is a piece of memory that malloc uses again, which a larger one is not; a GPU wants few launches.
BLOCK_ROWS = {"cpu": 256, "cuda": 4096}
GROUP = 64  # similarities of which only the largest is looked at again, when its index is asked for

_PRECISION_LOCK = Lock()


def mutual_nearest_neighbours(
    descriptors_a: np.ndarray | torch.Tensor,
    descriptors_b: np.ndarray | torch.Tensor,
    options: MatchingOptions | None = None,
    *,
    block_rows: int | None = None,
) -> np.ndarray:
    """Pairs of descriptors that are each other's nearest by cosine similarity, exactly.

    descriptors_a: [N, D], descriptors_b: [M, D], float16 or float32, rows of unit length; N and M may be 0. They are
        compared in float32 on options.device: similarities that differ by its rounding (1e-6) may fall either way.
    block_rows: rows of a whose similarities are in memory at a time (default: by device); it changes the result only by
        rounding.

    Of equally near descriptors, the one with the lowest index is the neighbour, in both directions. options.ratio keeps
    a match if the distance d = sqrt(2 - 2 cos) to the neighbour is below ratio times the distance to the second
    nearest, from both sides (a tie is never kept; a set of one descriptor has no second nearest and lets every match
    pass); max_distance and min_similarity are limits that are themselves allowed.

    Returns [K, 2] uint32, indices into a and b, ascending in a. Raises ValueError if shapes do not fit or block_rows is
    below 1.
    """
    return neighbours_and_similarities(descriptors_a, descriptors_b, options, block_rows=block_rows)[0]


@torch.inference_mode()
def neighbours_and_similarities(
    descriptors_a: np.ndarray | torch.Tensor,
    descriptors_b: np.ndarray | torch.Tensor,
    options: MatchingOptions | None = None,
    *,
    block_rows: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What ``mutual_nearest_neighbours`` returns, and their cosine similarities as databases keep them, [K] float16."""
    options = options or MatchingOptions()
    device = resolve_device(options.device)
    a, b = (torch.as_tensor(descriptors).to(device) for descriptors in (descriptors_a, descriptors_b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        found = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"descriptors have shapes {found}, expected (N, D) and (M, D) with D of 1 or more")
    block_rows = BLOCK_ROWS[device.type] if block_rows is None else block_rows
    if block_rows < 1:
        raise ValueError(f"block_rows must be 1 or more, found {block_rows}")
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.uint32), np.zeros(0, np.float16)

    nearest = _nearest(a, b, with_second=options.ratio is not None, block_rows=block_rows)
    keep = nearest.mutual & _within_limits(nearest, options)
    index_a = torch.arange(len(a), device=device)
    matches = torch.stack([index_a[keep], nearest.index[keep]], dim=1).cpu().numpy().astype(np.uint32)
    return matches, nearest.similarity[keep].to(torch.float16).cpu().numpy()


@dataclass(frozen=True)
class _Nearest:
    """The nearest descriptor of b for each descriptor of a, each [N]."""

    index: torch.Tensor
    similarity: torch.Tensor
    mutual: torch.Tensor  # bool: the descriptor of a is also the nearest of that one of b
    second: torch.Tensor | None  # the second largest similarity (-inf: none), where it was asked for
    second_of_b: torch.Tensor | None  # the same of the nearest descriptor of b


def _nearest(a: torch.Tensor, b: torch.Tensor, *, with_second: bool, block_rows: int) -> _Nearest:
    """Nearest neighbours from a to b, and whether they are mutual, from one product that is made in blocks.

    Of the descriptors of b only the largest similarity is kept, not whose it is: a pair is mutual where the largest of
    its row is the largest of its column too. Where they are equal, ``first`` says which row had it first.
    """
    blocks = []
    largest = torch.full((len(b),), -torch.inf, device=b.device)  # of each column, in the rows until now
    second = largest.clone()
    with product_precision(b.device, exact_in_tf32=a.dtype == b.dtype == torch.float16):
        b = b.to(torch.float32).contiguous()
        for start in range(0, len(a), block_rows):
            similarity = product(b, a[start : start + block_rows].to(torch.float32))
            of_rows, index = _first_largest(similarity)
            of_columns = similarity.amax(1)
            first = _first_of_column(similarity, index, of_rows, of_columns, largest)
            second_of_rows = None
            if with_second:
                second_of_rows, second_of_columns = _second_largest(similarity, index)
                loser = torch.minimum(largest, of_columns)
                second = torch.maximum(loser, torch.maximum(second, second_of_columns))
            largest = torch.maximum(largest, of_columns)
            blocks.append((index, of_rows, first, second_of_rows))
    index, of_rows, first = (torch.cat(parts) for parts in list(zip(*blocks, strict=True))[:3])
    return _Nearest(
        index=index,
        similarity=of_rows,
        mutual=first & (of_rows == largest[index]),
        second=torch.cat([block[3] for block in blocks]) if with_second else None,
        second_of_b=second[index] if with_second else None,
    )


def product(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Similarities, [M, rows of a]: a column holds those of one descriptor of a."""
    if b.is_cuda or not torch.backends.mkldnn.is_available():
        return b @ a.T
    # On a CPU, torch multiplies matrices with MKL and convolves with oneDNN, which is up to twice as fast on
    # processors not made by Intel. b is a picture of one column and D channels, a its 1x1 filters: these oneDNN
    # copies into an order of its own at each call, so they are the small block and not the whole set. F.conv2d
    # would do the same, but not in a single thread, where it goes back to MKL.
    picture = b.view(1, len(b), 1, -1).permute(0, 3, 1, 2)
    filters = a.reshape(len(a), 1, 1, -1).permute(0, 3, 1, 2)
    product = torch.mkldnn_convolution(picture, filters, None, [0, 0], [1, 1], [1, 1], 1)
    return product.permute(0, 2, 3, 1).reshape(len(b), len(a))


def _first_largest(similarity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest value of each column and the lowest row that has it.

    A maximum without its index runs at the speed of memory, with it a tenth as fast: so the largest of groups of rows
    first, and the index within the one group that has the largest.
    """
    count, columns = similarity.shape
    whole = count // GROUP * GROUP
    of_groups = similarity[:whole].view(whole // GROUP, GROUP, columns).amax(1)
    if whole < count:
        of_groups = torch.cat([of_groups, similarity[whole:].amax(0, keepdim=True)])
    value, group = of_groups.max(0)
    rows = group * GROUP + torch.arange(GROUP, device=similarity.device)[:, None]
    # Past the end the last row comes again: a repeated value is never the first of its kind.
    inside = similarity.gather(0, rows.clamp(max=count - 1)).argmax(0)
    return value, group * GROUP + inside


def _first_of_column(
    similarity: torch.Tensor,
    index: torch.Tensor,
    of_rows: torch.Tensor,
    of_columns: torch.Tensor,
    largest: torch.Tensor,
) -> torch.Tensor:
    """Which rows of a, [rows] bool, are the first that reach the largest similarity of their nearest one of b so far.

    of_rows and index: the nearest of each row; of_columns: the largest of each descriptor of b in this block, and
    ``largest`` before it.
    """
    best = of_columns[index]
    first = (of_rows == best) & (best > largest[index])  # an equal one in an earlier block came first
    rows = first.nonzero()[:, 0]
    first[rows] = similarity[index[rows]].argmax(1) == rows
    return first


def _second_largest(similarity: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The second largest similarity of each row of a and of each descriptor of b; -inf where there is one only.

    index: the nearest of each row. The similarities are overwritten.
    """
    largest, position = similarity.max(1, keepdim=True)
    of_columns = similarity.scatter_(1, position, -torch.inf).amax(1)
    similarity.scatter_(1, position, largest)
    return similarity.scatter_(0, index[None], -torch.inf).amax(0), of_columns


def _within_limits(nearest: _Nearest, options: MatchingOptions) -> torch.Tensor:
    """Which descriptors of a have a nearest neighbour that passes the optional limits, [N] bool."""
    keep = torch.ones_like(nearest.mutual)
    distance = _distance(nearest.similarity)
    if options.min_similarity is not None:
        keep &= nearest.similarity >= options.min_similarity
    if options.max_distance is not None:
        keep &= distance <= options.max_distance
    if options.ratio is not None:  # a missing second neighbour is infinitely far
        keep &= distance < options.ratio * _distance(nearest.second)
        keep &= distance < options.ratio * _distance(nearest.second_of_b)
    return keep


def _distance(similarity: torch.Tensor) -> torch.Tensor:
    """Euclidean distance of unit vectors; rounding may take their similarity above 1."""
    return (2 - 2 * similarity).clamp(min=0).sqrt()


@contextmanager
def product_precision(device: torch.device, *, exact_in_tf32: bool) -> Iterator[None]:
    """Let a GPU multiply in TF32 just where that changes no number: it has the 11 bits of a float16, and sums in
    float32. Elsewhere it is off, whatever the program around this asked for: it would change the neighbours.
    """
    if device.type != "cuda":
        yield
        return
    settings = torch.backends.cuda.matmul
    if hasattr(settings, "fp32_precision"):
        name, value = "fp32_precision", "tf32" if exact_in_tf32 else "ieee"
    else:  # torch before 2.9
        name, value = "allow_tf32", exact_in_tf32
    with _PRECISION_LOCK:  # the setting is the whole process's
        before = getattr(settings, name)
        setattr(settings, name, value)
        try:
            yield
        finally:
            setattr(settings, name, before)
