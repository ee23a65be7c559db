"""Texts on pictures, whatever letters images' names have, in the font that Matplotlib brings. Drawn with Pillow."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from d2sfm.plots.palette import Colour
from d2sfm.text import printable

ELLIPSIS = "\u2026"


class Text(NamedTuple):
    """A line at a place in pixels, centred on y. side: l, m or r, what of it is at x."""

    x: float
    y: float
    text: str
    size_px: float
    colour: Colour
    side: str = "l"


def write(canvas: np.ndarray, texts: Iterable[Text]) -> np.ndarray:
    """A picture, [H, W, 3] uint8 RGB, with texts on it. What steers terminals is escaped."""
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for text in texts:
        place, font = (text.x, text.y), _font(text.size_px)
        pen.text(place, printable(text.text), text.colour, font, anchor=f"{text.side}m")
    return np.array(picture)


def width_px(text: str, size_px: float) -> float:
    """Of a line of text."""
    return _font(size_px).getlength(printable(text))


def shortened(text: str, size_px: float, most_px: float) -> str:
    """The text, without its middle where it is wider than that."""
    whole = printable(text)
    kept = len(whole)
    while width_px(text, size_px) > most_px and kept > 2:
        kept = min(kept - 1, max(2, int(kept * most_px / width_px(text, size_px))))
        text = f"{whole[: (kept + 1) // 2]}{ELLIPSIS}{whole[len(whole) - kept // 2 :]}"
    return text


@cache
def _font(size_px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size_px)
