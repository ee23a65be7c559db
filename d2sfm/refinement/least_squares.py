"""Adaptive least squares matching (Gruen, 1985): patches of grey values aligned to a fraction of a pixel, many at once.

Where the samples of a patch lie in the other picture, by a shift and an affine map, is changed until they are like the
patch, in least squares with a Gaussian weight around its middle, whatever contrast and brightness are. Derivatives are
those of the patch, so they are formed once (inverse compositional Gauss-Newton); contrast and brightness are projected
out of them. Rows of a batch do not depend on each other, to the bit.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# In steps of the patch: lengths of a change of the position, and of all at the border of the patch, that are the last.
STOP, STOP_OF_ALL = 0.02, 0.06
LONGEST_STEP, LARGEST_CHANGE = 1.5, 0.2  # of one iteration: of the position, and of the map's elements
# Times the normal matrix's mean diagonal, and by itself: flat patches move little, but know how little they tell.
RIDGE, RIDGE_OF_SIGMA = (1e-4, 1e-5), (1e-6, 1e-7)
LEAST_CORRELATION = 0.3  # that contrast is divided by: beyond it patches do not look alike, and steps are anything
LEAST_CONTRAST = 1e-3  # in greys
NOISE_STEPS = 6.2  # that the noise of a pixel is spread over by the blur of a level, 4 pi times its variance
FULL = 0.7  # share of a batch that is still moved, below which the others are taken out


class Window(NamedTuple):
    """One alignment: what of the patch is compared, and how."""

    side: int  # in steps of the patch, odd
    sigma: float  # of the weights, in steps of the patch
    is_affine: bool  # or else a shift alone
    iterations: int  # at most


class Aligned(NamedTuple):
    """Where patches lie, and how surely. All of N patches, float64."""

    centres: Tensor  # [N, 2] (x, y) samples of the square
    bases: Tensor  # [N, 2, 2], samples of the square for a step to the right and down (columns)
    last_step: Tensor  # [N] length of the last change of the centre, in samples
    correlation: Tensor  # [N] weighted, normalised, -1 to 1
    sigma: Tensor  # [N] predicted standard deviation of the centre along its less certain axis, in samples


def sample(squares: Tensor, centres: Tensor, bases: Tensor, side: int) -> Tensor:
    """Samples of squares of grey values on a grid of points each, [N, side * side] float32, rows first.

    squares: [N, S, S] float32; beyond them their border is repeated. centres: [N, 2] (x, y) and bases: [N, 2, 2], see
    ``Aligned``.
    """
    count, edge, _ = squares.shape
    steps = torch.arange(side, device=squares.device, dtype=torch.float64) - (side - 1) / 2
    grid, scale = torch.empty(2, count, side, side, device=squares.device), 2 / (edge - 1)
    for axis in (0, 1):  # from -1 to 1
        right, down = (bases[:, axis, step, None] * (scale * steps) for step in (0, 1))
        down += centres[:, axis, None] * scale - 1
        torch.add(down.float()[:, :, None], right.float()[:, None], out=grid[axis])
    # In planes, it is read several points at a time.
    found = F.grid_sample(squares[:, None], grid.permute(1, 2, 3, 0), padding_mode="border", align_corners=True)
    return found.view(count, side * side)


def align_patches(squares: Tensor, centres: Tensor, bases: Tensor, patches: Tensor, window: Window) -> Aligned:
    """Align patches with squares of another picture, from where they are thought to lie.

    squares, centres, bases: as for ``sample``; patches: [N, S, S] float32 with S at least window.side + 2, of which the
    middle counts.
    """
    template = _Template(patches, window)
    centres, bases = centres.double().clone(), bases.double().clone()
    last_step, correlation = (centres.new_full((len(centres),), value) for value in (torch.inf, 0.0))
    rows, fields = torch.arange(len(centres), device=squares.device), template.fields
    moving = torch.ones_like(rows, dtype=torch.bool)
    for _ in range(window.iterations):
        found, change = template.change(rows, fields, sample(squares, centres[rows], bases[rows], window.side))
        here = moving[rows]
        found, change, now = found[here], change[here], rows[here]
        correlation[now] = found
        bases[now] = bases[now] @ _inverse(_map(change, template.half_side))
        step = (bases[now] @ change[:, :2, None])[..., 0]
        centres[now] -= step
        last_step[now] = step.norm(dim=1)
        moving[now] = (change[:, :2].norm(dim=1) > STOP) | (change.norm(dim=1) > STOP_OF_ALL)
        left = moving[rows]
        if not left.any():
            break
        if int(left.sum()) < FULL * len(rows):
            rows, fields, squares = rows[left], fields[left], squares[left]
    return Aligned(centres, bases, last_step, correlation, template.sigma(correlation, bases))


class _Template:
    """What is formed of patches once: derivatives, weighted, and their normal matrices.

    fields: [N, D + 2, P] the derivatives by the D parameters, the patch and a constant, each times the root of the
    weights; the patch and the constant have length 1 and are at right angles.
    """

    def __init__(self, patches: Tensor, window: Window):
        margin = (patches.shape[1] - window.side) // 2
        grey = patches[:, margin - 1 : margin + window.side + 1, margin - 1 : margin + window.side + 1]
        count, side, self.half_side = len(grey), window.side, (window.side - 1) / 2
        steps = torch.arange(side, device=grey.device, dtype=torch.float32) - self.half_side
        along = torch.exp(-0.5 * (steps / window.sigma) ** 2)
        root = (along[:, None] * along).sqrt().flatten()
        self._root = root / root.norm()
        right, down = steps.repeat(side) / self.half_side, steps.repeat_interleave(side) / self.half_side

        size = 4 + 4 * window.is_affine
        self.fields = fields = grey.new_empty(count, size, side * side)
        by_x, by_y, patch = fields[:, 0], fields[:, 1], fields[:, -2]
        patch.copy_(grey[:, 1:-1, 1:-1].flatten(1))
        patch -= (patch * self._root**2).sum(1, keepdim=True)
        patch *= self._root
        contrast = patch.norm(dim=1).clamp(min=LEAST_CONTRAST)[:, None]
        patch /= contrast
        weight = self._root / (2 * contrast)
        by_x.copy_((grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]).flatten(1)).mul_(weight)
        by_y.copy_((grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]).flatten(1)).mul_(weight)
        if window.is_affine:
            for field, (by, times) in enumerate(((by_x, right), (by_x, down), (by_y, right), (by_y, down)), 2):
                torch.mul(by, times, out=fields[:, field])
        fields[:, -1] = self._root

        products = torch.bmm(fields, fields.transpose(1, 2)).double()
        self._of_patch, self._of_constant = products[:, :-2, -2], products[:, :-2, -1]
        normal = products[:, :-2, :-2]
        for projected in (self._of_patch, self._of_constant):
            normal = normal - projected[:, :, None] * projected[:, None]
        eye = torch.eye(size - 2, dtype=torch.float64, device=grey.device)
        mean = normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        self._inverse, self._covariance = (
            torch.linalg.inv(normal + (of_mean * mean + by_itself) * eye)
            for of_mean, by_itself in (RIDGE, RIDGE_OF_SIGMA)
        )
        self._samples = 1 / (NOISE_STEPS * (self._root**4).sum().double())  # how many the weights are worth

    def change(self, rows: Tensor, fields: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Correlation of the patches with samples of their size, [M], and the change of parameters [M, D], float64.

        rows: [M] which patches; fields: [M, D + 2, P] theirs.
        """
        samples = (samples - samples.mean(1, keepdim=True)).mul_(self._root)
        products = _products(fields, samples).double()
        mean = products[:, -1:]
        contrast = (samples.square().sum(1, keepdim=True).double() - mean**2).clamp(min=LEAST_CONTRAST**2).sqrt()
        correlation = products[:, -2:-1] / contrast
        error = (products[:, :-2] - mean * self._of_constant[rows]) / contrast - correlation * self._of_patch[rows]
        change = (self._inverse[rows] @ (error / correlation.clamp(min=LEAST_CORRELATION))[..., None])[..., 0]
        length = change[:, :2].norm(dim=1, keepdim=True)
        return correlation[:, 0], change * (LONGEST_STEP / length.clamp(min=LONGEST_STEP))

    def sigma(self, correlation: Tensor, bases: Tensor) -> Tensor:
        """Predicted standard deviation of the positions in samples, [N]: what is left over is taken for noise."""
        left_over = 1 / correlation.clamp(LEAST_CORRELATION, 1) ** 2 - 1
        covariance = self._covariance[:, :2, :2] * (left_over / self._samples)[:, None, None]
        covariance = bases @ covariance @ bases.transpose(1, 2)
        of_x, of_y, of_both = covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]
        return ((of_x + of_y) / 2 + torch.hypot((of_x - of_y) / 2, of_both)).sqrt()


def _products(fields: Tensor, samples: Tensor) -> Tensor:
    """Of fields [M, D, P] with samples [M, P]: [M, D]. Of one row as of several, whose sums torch rounds otherwise."""
    at_least_two = [each.expand(2, *each.shape[1:]) if len(each) == 1 else each for each in (fields, samples)]
    return torch.bmm(at_least_two[0], at_least_two[1][:, :, None])[: len(fields), :, 0]


def _map(change: Tensor, half_side: float) -> Tensor:
    """The affine map of a change of parameters, [N, 2, 2]; the identity where only a shift is sought."""
    identity = torch.eye(2, dtype=change.dtype, device=change.device)
    affine = change[:, 2:].unflatten(1, (2, 2)) if change.shape[1] > 2 else change.new_zeros(1, 2, 2)
    return identity + (affine / half_side).clamp(-LARGEST_CHANGE, LARGEST_CHANGE)


def _inverse(matrices: Tensor) -> Tensor:
    """Of [N, 2, 2]; faster than that for matrices of any size."""
    (a, b), (c, d) = (row.unbind(1) for row in matrices.unbind(1))
    return torch.stack([d, -b, -c, a], 1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
