"""Pairs of images as a matrix: how many matches agree, and which pairs have none. Drawn with Matplotlib."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from d2sfm.plots.canvas import sequence
from d2sfm.plots.captions import shortened
from d2sfm.plots.figure import boxes_for_letters, new_figure, pt, rendered
from d2sfm.plots.palette import DARK, OUTLIER, Theme, ink
from d2sfm.text import printable

LARGEST_PX, NUMBERED_PX, NAMED_PX = 44, 30, 13  # of a cell; from which on it holds its number, each image its name
WANTED_PX, LEAST_PX = 1100, 2  # of all cells together where there are many; of one cell
LABEL_PX, MARGIN_PX = 260, 16


def draw_pair_matrix(names: Sequence[str], inliers: np.ndarray, theme: Theme = DARK) -> np.ndarray:
    """A square for each pair, names beside the rows and above the columns.

    inliers: [N, N] int, of verified pairs; 0 for pairs that were matched without being verified, which get a dot, -1
    for pairs that were not matched. The largest is yellow, the smallest violet, by their logarithm. Where images are
    too many, only some are named. Returns [H, W, 3] uint8 RGB.
    """
    count = len(names)
    cell = int(np.clip(WANTED_PX // max(count, 1), NAMED_PX if count < 200 else LEAST_PX, LARGEST_PX))
    step = -(-NAMED_PX // cell)
    shown = [printable(name) for name in names[::step]]
    letters = min(max(0.62 * cell * step, 10), 16)
    label = _label_px(shown, letters)
    side = cell * count
    size = label + side + 2 * MARGIN_PX
    figure = new_figure((size, size), theme)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size), ylim=(size, 0))
    axes.set_axis_off()
    corner = label + MARGIN_PX
    axes.imshow(
        _cells(inliers, theme), extent=(corner, corner + side, corner + side, corner), interpolation="nearest", zorder=1
    )
    axes.set(xlim=(0, size), ylim=(size, 0))
    middles = corner + cell * (np.arange(count) + 0.5)
    look = {"fontsize": pt(letters), "color": ink(theme.text), "parse_math": False}
    with boxes_for_letters():
        for name, at in zip(shown, middles[::step], strict=True):
            row = axes.text(corner - 6, at, name, ha="right", va="center_baseline", **look)
            shortened(row, label - 6)
            axes.text(at, corner - 6, row.get_text(), ha="center", va="bottom", rotation=90, **look)
    if cell > 3:
        for edge in corner + cell * np.arange(count + 1):
            axes.plot((edge, edge), (corner, corner + side), color=ink(theme.background), lw=pt(1), zorder=2)
            axes.plot((corner, corner + side), (edge, edge), color=ink(theme.background), lw=pt(1), zorder=2)
    _mark(axes, inliers, middles, cell)
    return rendered(figure)


def _cells(inliers: np.ndarray, theme: Theme) -> np.ndarray:
    """[N, N, 3] uint8 RGB."""
    cells = np.tile(np.array(theme.grid, np.uint8), (*inliers.shape, 1))
    cells[inliers > 0] = sequence(_shares(inliers)[inliers > 0])
    cells[np.eye(len(inliers), dtype=bool)] = theme.background
    return cells


def _shares(inliers: np.ndarray) -> np.ndarray:
    """How large verified pairs are among these, 0 to 1."""
    logs = np.log(np.maximum(inliers, 1))
    low, high = (float(end) for end in np.quantile(logs[inliers > 0], (0, 1))) if (inliers > 0).any() else (0.0, 1.0)
    return (logs - low) / max(high - low, 1e-9)


def _mark(axes: Axes, inliers: np.ndarray, middles: np.ndarray, cell: int) -> None:
    """Numbers of verified pairs where there is room, and dots of those that are not."""
    rows, columns = np.nonzero((inliers == 0) & ~np.eye(len(inliers), dtype=bool))
    axes.scatter(middles[columns], middles[rows], s=pt(max(cell / 4, 1.5)) ** 2, lw=0, color=ink(OUTLIER), zorder=3)
    if cell < NUMBERED_PX:
        return
    shares = _shares(inliers)
    for row, column in np.argwhere(inliers > 0).tolist():
        axes.text(
            middles[column],
            middles[row],
            str(inliers[row, column]),
            fontsize=pt(min(cell / 3.3, 13)),
            color="black" if shares[row, column] > 0.5 else "white",
            ha="center",
            va="center_baseline",
            zorder=3,
        )


def _label_px(names: Sequence[str], letters: float) -> int:
    """Room for the longest name."""
    figure = new_figure((100, 100))
    text = figure.text(0, 0, max(names, key=len, default=""), fontsize=pt(letters), parse_math=False)
    with boxes_for_letters():
        return int(min(text.get_window_extent().width + 14, LABEL_PX))
