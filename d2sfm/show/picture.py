"""A picture with its caption: a PNG, or a page with the numbers beside it."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from d2sfm.files import replacing
from d2sfm.plots.canvas import png, save_image
from d2sfm.plots.palette import DARK, LIGHT, Theme
from d2sfm.show.page import page

SUFFIXES = (".png", ".html")
JPEG_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The facts of a picture, and how to draw it.

    name: for a file, without a suffix. title: a line in plain words. facts: further texts, by label. table: rows of
    cells, the first one their titles; may be empty. is_photograph: whether most of it is a photograph, so that pages
    hold it compressed with loss. draw: the pixels, [H, W, 3] uint8 RGB, for a theme.
    """

    name: str
    title: str
    draw: Callable[[Theme], np.ndarray]
    facts: Mapping[str, str] = field(default_factory=dict)
    table: Sequence[Sequence[str]] = ()
    is_photograph: bool = True

    def pixels(self, *, light: bool = False) -> np.ndarray:
        """[H, W, 3] uint8 RGB, on a dark or a light ground."""
        return self.draw(LIGHT if light else DARK)

    def save(self, path: Path | str, *, light: bool = False) -> None:
        """Write a PNG, or a page that needs nothing else, by the suffix, .png or .html.

        light: of a PNG; pages follow the reader's system. Raises ValueError for another suffix, FileNotFoundError if
        the folder is missing.
        """
        path = require_suffix(path)
        if path.suffix.lower() == ".png":
            save_image(path, self.pixels(light=light))
            return
        dark, bright = (self._in_page(theme) for theme in (DARK, LIGHT))
        text = page(self.title, self.facts, dark, bright, self.table)
        with replacing(path) as stream:
            stream.write(text.encode(errors="backslashreplace"))

    def _in_page(self, theme: Theme) -> str:
        """The picture as an address."""
        pixels = self.draw(theme)
        if not self.is_photograph:
            return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), quality)[1].tobytes()
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"

    def _repr_png_(self) -> bytes:
        return png(self.pixels())


def require_suffix(path: Path | str) -> Path:
    """The path. ValueError if a picture can't be written with its suffix."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"pictures are written as {' or '.join(SUFFIXES)}, found {path.name}")
    return path
