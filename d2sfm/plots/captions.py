"""Lines of text below a picture: what it shows, and what its colours stand for."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from d2sfm.plots.canvas import SHIFT, fixed, sequence
from d2sfm.plots.lettering import Text, shortened, width_px, write
from d2sfm.plots.palette import DARK, Colour, Theme

LEAST_PX, MOST_PX = 13, 24  # of letters
LINE = 1.6  # times the height of letters


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
    size = size_px or round(min(max(width / 72, LEAST_PX), MOST_PX))
    lines = _lines(keys, width - 1.2 * size, size)
    canvas = np.full((round((2.2 + LINE * len(lines)) * size), width, 3), theme.background, np.uint8)
    texts = [Text(0.6 * size, 1.2 * size, shortened(title, size, width - 1.2 * size), size, theme.text)]
    for number, line in enumerate(lines, start=1):
        x, y = 0.6 * size, (1.2 + LINE * number) * size
        for key in line:
            texts += _drawn(canvas, key, x, y, size, theme)
            x += _width(key, size) + 1.4 * size
    return np.concatenate([picture, write(canvas, texts)])


def _lines(keys: Sequence[Key | Ramp], room: float, size: float) -> list[list[Key | Ramp]]:
    """The keys as they fit beside each other."""
    lines, x = [], room
    for key in keys:
        x += _width(key, size) + 1.4 * size
        if x - 1.4 * size > room:
            lines, x = [*lines, []], _width(key, size) + 1.4 * size
        lines[-1].append(key)
    return lines


def _width(key: Key | Ramp, size: float) -> float:
    return _mark_px(key, size) + sum(width_px(text, size) for text in key if isinstance(text, str))


def _mark_px(key: Key | Ramp, size: float) -> float:
    """Room for anything but text, with the space around it."""
    if isinstance(key, Ramp):
        return 7.8 * size
    return key.length_px + 0.5 * size if key.length_px else 0.0 if key.colour is None else 1.2 * size


def _drawn(canvas: np.ndarray, key: Key | Ramp, x: float, y: float, size: float, theme: Theme) -> list[Text]:
    """Draw a key's mark, and return its texts."""
    if isinstance(key, Ramp):
        left = round(x + width_px(key.low, size) + 0.4 * size)
        bar = (
            slice(round(y - 0.4 * size), round(y + 0.4 * size)),
            slice(*(min(end, canvas.shape[1]) for end in (left, left + 7 * size))),
        )
        canvas[bar] = sequence(np.linspace(0, 1, bar[1].stop - bar[1].start))
        return [Text(x, y, key.low, size, theme.text), Text(left + 7.4 * size, y, key.high, size, theme.text)]
    if key.length_px:
        ends = fixed((x, y)), fixed((x + key.length_px, y))
        cv2.arrowedLine(canvas, *ends, key.colour, 2, cv2.LINE_AA, SHIFT, 0.4 * size / key.length_px)
    elif key.colour is not None:
        radius = round(0.35 * size * 2**SHIFT)
        cv2.circle(canvas, fixed((x + 0.4 * size, y)), radius, key.colour, -1, cv2.LINE_AA, SHIFT)
    return [Text(x + _mark_px(key, size), y, key.text, size, theme.text)]
