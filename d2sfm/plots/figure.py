"""Figures of Matplotlib that become arrays of pixels, without a display and without pyplot's global state."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from d2sfm.plots.palette import DARK, Theme, ink

DPI = 100


def pt(pixels: float) -> float:
    """A width or a height of text as Matplotlib counts them: 72 to the inch."""
    return pixels * 72 / DPI


def new_figure(size: tuple[int, int], theme: Theme = DARK) -> Figure:
    """An empty figure; size: (width, height) in pixels."""
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor=ink(theme.background))
    FigureCanvasAgg(figure)
    return figure


def rendered(figure: Figure) -> np.ndarray:
    """The figure's pixels, [H, W, 3] uint8 RGB."""
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]
