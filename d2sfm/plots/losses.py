"""The curve of losses of a training run. Drawn with Matplotlib."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from d2sfm.plots.figure import new_figure, pt, rendered
from d2sfm.plots.palette import FAINT, GRID, INLIER, RECOVERED, TEXT, TRUE, ink

SIZE = (1200, 640)
MEDIANS = 600  # most points of the curve of step losses


def draw_losses(
    training: Sequence[tuple[float, float]], validation: Sequence[tuple[float, float]], steps: np.ndarray
) -> np.ndarray:
    """The curve of losses of a run.

    training: (epoch, mean loss) counted from 1, drawn in the middle of the epoch, which ends at its number on the axis;
    validation: (epoch, loss), 0 being the start, drawn where the epoch ends, the smallest marked; steps: [k, 2] epochs
    that have passed (2.5 is the middle of the third), and the step's loss, drawn as a running median over one step in a
    hundred. What is not finite is left out; each may be empty. Returns [640, 1200, 3] uint8 RGB.
    """
    medians, means, validated = _running_median(_finite(steps)), _finite(training) - (0.5, 0), _finite(validation)
    figure = new_figure(SIZE)
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
    axes = figure.add_subplot(facecolor="none")
    last = 1.0
    for curve, marker, colour, label in (
        (medians, "", FAINT, "steps, median"),
        (means, "o", RECOVERED, "epochs, mean"),
        (validated, "o", TRUE, "validation"),
    ):
        if len(curve):
            last = max(last, curve[:, 0].max())
            axes.plot(*curve.T, lw=pt(2.5), marker=marker, ms=pt(10), color=ink(colour), label=label, clip_on=False)
    if len(validated):
        epoch, best = validated[validated[:, 1].argmin()]
        label = f"best: {best:.4f}, {f'epoch {epoch:g}' if epoch else 'the start'}"
        ring = {"ms": pt(18), "mew": pt(2.5), "mfc": "none", "mec": ink(INLIER)}
        axes.plot(epoch, best, "o", label=label, clip_on=False, **ring)
    axes.margins(y=0.06)
    axes.set(xlim=(0, last), xlabel="epochs", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.grid(color=ink(GRID), lw=pt(1))
    axes.tick_params(length=0, labelcolor=ink(TEXT), labelsize=pt(15))
    axes.spines[:].set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=ink(TEXT), size=pt(15))
    if axes.lines:
        place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 4, "frameon": False}
        axes.legend(labelcolor=ink(TEXT), fontsize=pt(15), **place)
    else:
        axes.set_ylim(0, 1)
        axes.set_title("no losses", color=ink(TEXT), size=pt(15), loc="right")
    return rendered(figure)


def _finite(points: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _running_median(steps: np.ndarray) -> np.ndarray:
    """Median epoch and loss of windows over a hundredth of the steps, [m, 2] with m at most about MEDIANS."""
    if not len(steps):
        return steps
    windows = np.lib.stride_tricks.sliding_window_view(steps, max(1, len(steps) // 100), axis=0)
    return np.median(windows[:: max(1, len(windows) // MEDIANS)], axis=-1)
