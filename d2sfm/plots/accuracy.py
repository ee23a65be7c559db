"""Curves of the share of matches, or of others, that are right within an error."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from d2sfm.plots.figure import new_figure, pt, rendered
from d2sfm.plots.palette import GRID, INLIER, OTHER_KIND, RECOVERED, TEXT, TRUE, ink

PANEL = (440, 420)
COLOURS = (RECOVERED, INLIER, TRUE, OTHER_KIND)


def draw_accuracy(
    panels: Mapping[str, Mapping[str, Sequence[float]]], what: str = "matches", unit: str = "px"
) -> np.ndarray:
    """Panels beside each other, each with a curve for each method: [420, 440 a panel, 3] uint8 RGB.

    panels: by title, then by method, the same in each, the shares that are right within 1, 2, ... of the unit.
    """
    figure = new_figure((PANEL[0] * len(panels), PANEL[1]))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for index, (name, shares) in enumerate(curves.items()):
            colour = ink(COLOURS[index % len(COLOURS)])
            axis.plot(range(1, len(shares) + 1), shares, lw=pt(2.5), marker="o", ms=pt(6), color=colour, label=name)
        axis.set(facecolor="none", ylim=(0, 1), xlabel=f"error, {unit}")
        axis.set_title(title, color=ink(TEXT), size=pt(15))
        axis.xaxis.label.set_color(ink(TEXT))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.tick_params(length=0, colors=ink(TEXT))
        axis.grid(color=ink(GRID), lw=pt(1))
        axis.spines[:].set_visible(False)
    axes[0].set_ylabel(f"{what} right", color=ink(TEXT))
    place = {"loc": "outside lower center", "ncols": 4 if len(panels) > 1 else 2, "frameon": False}
    figure.legend(*axes[0].get_legend_handles_labels(), labelcolor=ink(TEXT), fontsize=pt(14), **place)
    return rendered(figure)
