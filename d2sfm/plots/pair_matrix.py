"""Pairs of images as a matrix: how many matches agree, and which pairs have none."""

from collections.abc import Sequence

import numpy as np

from d2sfm.plots.canvas import sequence
from d2sfm.plots.lettering import Text, shortened, width_px, write
from d2sfm.plots.palette import DARK, OUTLIER, Theme

LARGEST_PX, NUMBERED_PX, NAMED_PX = 44, 30, 13  # of a cell; from which on it holds its number, each image its name
WANTED_PX, LEAST_PX, NAMED = 1100, 2, 200  # of all cells together; of a cell; images that all have their names
LABEL_PX, MARGIN_PX = 260, 16


def draw_pair_matrix(names: Sequence[str], inliers: np.ndarray, theme: Theme = DARK) -> np.ndarray:
    """A square for each pair, names beside the rows and above the columns.

    inliers: [N, N] int, of verified pairs; 0 for pairs that were matched without being verified, which get a dot, -1
    for pairs that were not matched. The largest is yellow, the smallest violet, by their logarithm. Where images are
    too many, only some are named. Returns [H, W, 3] uint8 RGB.
    """
    count = len(names)
    cell = int(np.clip(WANTED_PX // max(count, 1), NAMED_PX if count < NAMED else LEAST_PX, LARGEST_PX))
    step = -(-NAMED_PX // cell)
    letters = round(np.clip(0.62 * cell * step, 10, 16))
    shown = [shortened(name, letters, LABEL_PX) for name in names[::step]]
    label = round(max((width_px(name, letters) for name in shown), default=0)) + 6
    side, corner = cell * count, label + MARGIN_PX
    middles = cell * (np.arange(count) + 0.5)
    blank, places = np.full((side, label, 3), theme.background, np.uint8), middles[::step]
    places = np.clip(places, 0.6 * letters, max(side - 0.6 * letters, 0))  # letters are higher than one small cell
    beside, above = (
        write(blank, [Text(x, at, name, letters, theme.text, to) for name, at in zip(shown, places, strict=True)])
        for x, to in ((label - 6, "r"), (6, "l"))
    )
    canvas = np.full((corner + side + MARGIN_PX,) * 2 + (3,), theme.background, np.uint8)
    cells = slice(corner, corner + side)
    canvas[cells, MARGIN_PX:corner] = beside
    canvas[MARGIN_PX:corner, cells] = np.rot90(above)
    canvas[cells, cells] = _cells(inliers, cell, theme)
    return write(canvas, _numbers(inliers, corner + middles)) if cell >= NUMBERED_PX else canvas


def _cells(inliers: np.ndarray, cell: int, theme: Theme) -> np.ndarray:
    """[N * cell, N * cell, 3] uint8 RGB."""
    of_pairs = np.tile(np.array(theme.grid, np.uint8), (*inliers.shape, 1))
    of_pairs[inliers > 0] = sequence(_shares(inliers)[inliers > 0])
    itself = np.eye(len(inliers), dtype=bool)
    of_pairs[itself] = theme.background
    canvas = of_pairs.repeat(cell, axis=0).repeat(cell, axis=1)
    from_middle = np.arange(cell) - (cell - 1) / 2
    dot = np.hypot(*np.meshgrid(from_middle, from_middle)) <= max(cell / 8, 0.8)
    canvas[np.kron((inliers == 0) & ~itself, dot)] = OUTLIER
    if cell > 3:
        canvas[::cell], canvas[:, ::cell] = theme.background, theme.background
    return canvas


def _shares(inliers: np.ndarray) -> np.ndarray:
    """How large verified pairs are among these, 0 to 1."""
    logs = np.log(np.maximum(inliers, 1))
    low, high = (float(end) for end in np.quantile(logs[inliers > 0], (0, 1))) if (inliers > 0).any() else (0.0, 1.0)
    return (logs - low) / max(high - low, 1e-9)


def _numbers(inliers: np.ndarray, middles: np.ndarray) -> list[Text]:
    """Of verified pairs."""
    shares, size = _shares(inliers), 12 if inliers.max(initial=0) < 1000 else 10
    return [
        Text(
            middles[column],
            middles[row],
            str(inliers[row, column]),
            size,
            (0, 0, 0) if shares[row, column] > 0.5 else (255, 255, 255),
            "m",
        )
        for row, column in np.argwhere(inliers > 0).tolist()
    ]
