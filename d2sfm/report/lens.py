"""The systematic part of a camera's residuals: where they point the same way, the lens model is at fault."""

from typing import NamedTuple

import numpy as np

from d2sfm.coordinates import Size

CELLS = 12  # along the longer edge; of the means that are drawn, and judged
FEWEST = 10  # observations of a cell
ENOUGH = 500  # observations of a camera, for a judgement
MOST_SHARE = 0.3  # of the residuals, where a lens counts as modelled


class LensResiduals(NamedTuple):
    """Mean residuals over the image plane of a camera."""

    size: Size
    observations: int
    rms_px: float  # of all residuals
    systematic_px: float  # root mean square of the means, less what noise leaves in them
    centres: np.ndarray  # [C, 2], of the cells with enough observations, in pixels
    means: np.ndarray  # [C, 2], in pixels

    @property
    def share(self) -> float:
        """Systematic share of the residuals, 0 to 1."""
        return self.systematic_px / self.rms_px if self.rms_px else 0.0

    @property
    def verdict(self) -> str:
        """In words of a cell: "good", "not modelled" or "too few points"."""
        if self.observations < ENOUGH or not len(self.means):
            return "too few points"
        return "good" if self.share <= MOST_SHARE else "not modelled"


def lens_residuals(xy: np.ndarray, residual: np.ndarray, size: Size) -> LensResiduals:
    """Of observations [O, 2] of one camera, or of several of one size; residuals that are not finite count as none."""
    finite = np.isfinite(residual).all(axis=1)
    xy, residual = xy[finite], residual[finite]
    longest = max(size)
    shape = [max(1, round(CELLS * edge / longest)) for edge in size]
    cell = [np.clip((xy[:, axis] * shape[axis] / size[axis]).astype(int), 0, shape[axis] - 1) for axis in (0, 1)]
    flat, cells = cell[0] + shape[0] * cell[1], shape[0] * shape[1]
    counts = np.bincount(flat, minlength=cells)
    of_cell = np.stack([np.bincount(flat, residual[:, axis], cells) for axis in (0, 1)], axis=1)
    enough = counts >= FEWEST
    means = of_cell[enough] / counts[enough, None]
    squares = np.bincount(flat, (residual**2).sum(axis=1), cells)[enough] / counts[enough]
    noise = (squares - (means**2).sum(axis=1)) / (counts[enough] - 1)
    systematic = np.average((means**2).sum(axis=1) - noise, weights=counts[enough]) if enough.any() else 0.0
    rows, columns = np.divmod(np.flatnonzero(enough), shape[0])
    return LensResiduals(
        size=size,
        observations=len(xy),
        rms_px=float(np.sqrt((residual**2).sum(axis=1).mean())) if len(xy) else 0.0,
        systematic_px=float(np.sqrt(max(systematic, 0.0))),
        centres=(np.stack([columns, rows], axis=1) + 0.5) * np.array(size) / shape,
        means=means,
    )
