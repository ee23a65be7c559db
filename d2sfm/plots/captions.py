"""Lines of text below a picture: what it shows, and what its colours stand for. Drawn with Matplotlib."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from d2sfm.plots.canvas import sequence
from d2sfm.plots.figure import boxes_for_letters, new_figure, pt, rendered
from d2sfm.plots.palette import DARK, Colour, Theme, ink
from d2sfm.text import printable

LEAST_PX, MOST_PX = 13, 24  # of letters
LINES = 8  # most that are drawn


class Key(NamedTuple):
    """A disc of a colour and what it stands for; length_px: an arrow of that length instead; None: text alone."""

    text: str
    colour: Colour | None = None
    length_px: float = 0.0


class Ramp(NamedTuple):
    """The colours of ``canvas.sequence`` between what the ends stand for."""

    low: str
    high: str


def captioned(
    picture: np.ndarray, title: str, keys: Sequence[Key | Ramp] = (), theme: Theme = DARK, size_px: float | None = None
) -> np.ndarray:
    """The picture with its title below it and, in lines of their own, the keys to its colours.

    picture: [H, W, 3] uint8 RGB; size_px: of letters (default: by its width). Returns [H + h, W, 3]. What is too long
    for the width loses its middle.
    """
    width = picture.shape[1]
    size = size_px or min(max(width / 72, LEAST_PX), MOST_PX)
    figure = new_figure((width, round(LINES * 1.6 * size)), theme)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(LINES * 1.6 * size, 0))
    axes.set_axis_off()
    pen = _Pen(axes, width, size, theme)
    with boxes_for_letters():
        pen.write(title, pen.margin, width - 2 * pen.margin)
        pen.next_line()
        for key in keys:
            pen.add(key)
    return np.concatenate([picture, rendered(figure)[: round(pen.y + 0.95 * size)]])


def shortened(text: Text, most_px: float) -> float:
    """Take characters out of the middle of a text until it is no wider; returns its width in pixels."""
    whole = text.get_text()
    while (width := text.get_window_extent().width) > most_px and len(whole) > 2:
        kept = max(2, int(len(whole) * most_px / width) - 1)
        whole = whole[: (kept + 1) // 2] + whole[len(whole) - kept // 2 :]
        text.set_text(f"{whole[: (kept + 1) // 2]}\u2026{whole[(kept + 1) // 2 :]}")
    return width


class _Pen:
    """Where the next text or key goes."""

    def __init__(self, axes: Axes, width: int, size: float, theme: Theme):
        self.axes, self.width, self.size, self.theme = axes, width, size, theme
        self.margin = 0.6 * size
        self.x, self.y = self.margin, 1.1 * size
        self._begun = False

    def next_line(self) -> None:
        if self._begun:
            self.x, self.y, self._begun = self.margin, self.y + 1.6 * self.size, False

    def write(self, text: str, x: float, most_px: float) -> float:
        """Returns where it ends."""
        self._begun = True
        look = {"fontsize": pt(self.size), "color": ink(self.theme.text), "va": "center", "parse_math": False}
        return x + shortened(self.axes.text(x, self.y, printable(text), **look), most_px)

    def add(self, key: Key | Ramp) -> None:
        """On this line if there is room."""
        before, y = len(self.axes.get_children()), self.y
        end = self._drawn(key)
        if end > self.width - self.margin and self.x > self.margin:
            for artist in self.axes.get_children()[before:]:
                artist.remove()
            self.y = y
            self.next_line()
            end = self._drawn(key)
        self.x, self._begun = end + 1.4 * self.size, True

    def _drawn(self, key: Key | Ramp) -> float:
        room = self.width - 2 * self.margin
        if isinstance(key, Ramp):
            x = self.write(key.low, self.x, room / 2) + 0.4 * self.size
            right = x + 7 * self.size
            bar = sequence(np.linspace(0, 1, 256))[None]
            self.axes.imshow(bar, extent=(x, right, self.y + 0.4 * self.size, self.y - 0.4 * self.size), aspect="auto")
            return self.write(key.high, right + 0.4 * self.size, room / 2)
        x = self.x
        if key.length_px:
            self.axes.annotate(
                "",
                (x + key.length_px, self.y),
                (x, self.y),
                arrowprops={"arrowstyle": "->", "color": ink(key.colour), "lw": pt(2), "shrinkA": 0, "shrinkB": 0},
            )
            x += key.length_px + 0.5 * self.size
        elif key.colour is not None:
            disc = Line2D([x + 0.4 * self.size], [self.y], marker="o", ms=pt(0.7 * self.size), color=ink(key.colour))
            self.axes.add_line(disc)
            x += 1.2 * self.size
        return self.write(key.text, x, room - (x - self.x))
