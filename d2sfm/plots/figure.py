"""Dark figures of Matplotlib that become arrays of pixels, without a display and without pyplot's global state."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from d2sfm.plots.canvas import BACKGROUND, Colour

DPI = 100
GRID, RECOVERED, BY_NIGHT, TRUE = (42, 49, 60), (255, 176, 66), (206, 110, 255), (72, 196, 255)


def ink(colour: Colour) -> str:
    """Matplotlib's name of a colour 0 to 255."""
    return f"#{bytes(colour).hex()}"


def pt(pixels: float) -> float:
    """A width or a height of text as Matplotlib counts them: 72 to the inch."""
    return pixels * 72 / DPI


def new_figure(size: tuple[int, int]) -> Figure:
    """An empty figure; size: (width, height) in pixels."""
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor=ink(BACKGROUND))
    FigureCanvasAgg(figure)
    return figure


def rendered(figure: Figure) -> np.ndarray:
    """The figure's pixels, [H, W, 3] uint8 RGB."""
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]
