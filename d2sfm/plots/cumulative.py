"""Cumulative curves of errors: how many of the images are within so much."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from d2sfm.plots.figure import new_figure, pt, rendered
from d2sfm.plots.palette import BACKGROUND, GRID, RECOVERED, TEXT, ink

SIZE = (1000, 420)
LEAST, MOST = 1e-4, 1e3  # errors beyond are drawn there


def draw_cumulative(errors: Mapping[str, Sequence[float]], limits: Mapping[str, Sequence[float]]) -> np.ndarray:
    """A curve for each kind of error beside each other, [H, W, 3] uint8 RGB.

    errors: by name with its unit, infinite for what was not found; limits: errors that are marked, by the same names.
    """
    figure = new_figure(SIZE)
    axes = figure.subplots(1, len(errors), squeeze=False)[0]
    for axis, (name, values) in zip(axes, errors.items(), strict=True):
        ascending = np.clip(np.sort([value for value in values if np.isfinite(value)]), LEAST, MOST)
        share = np.arange(1, len(ascending) + 1) / max(len(values), 1)
        x, y = (
            np.concatenate([[LEAST], ascending, [MOST]]),
            np.concatenate([[0], share, share[-1:] if len(share) else [0]]),
        )
        axis.step(x, y, where="post", color=ink(RECOVERED), linewidth=pt(2))
        for limit in limits.get(name, ()):
            axis.axvline(limit, color=ink(TEXT), linewidth=pt(1), linestyle=":")
        axis.set(xscale="log", ylim=(0, 1.02), xlim=(LEAST, MOST), facecolor=ink(BACKGROUND))
        axis.set_xlabel(name, color=ink(TEXT))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.tick_params(colors=ink(TEXT))
        axis.grid(color=ink(GRID), linewidth=pt(1))
        for side in axis.spines.values():
            side.set_color(ink(GRID))
    axes[0].set_ylabel("images within", color=ink(TEXT))
    figure.tight_layout()
    return rendered(figure)
