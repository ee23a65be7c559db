"""A training pair: its crops with their correspondences, and soft detection scores. Drawn with OpenCV."""

from collections.abc import Sequence

import cv2
import numpy as np

from d2sfm.plots.canvas import SHIFT, fixed
from d2sfm.plots.palette import BACKGROUND, TEXT, Colour

PANEL_PX = 512  # about the edge of a crop as it is drawn
NUMBERED = 12  # correspondences that are marked by a number
GAP, STRIP = 12, 34  # pixels around panels, and height of a line of text
FONT, FONT_SCALE = cv2.FONT_HERSHEY_DUPLEX, 0.52


def draw_training_pair(
    image1: np.ndarray,
    image2: np.ndarray,
    positions1: np.ndarray,
    positions2: np.ndarray,
    scores1: np.ndarray,
    scores2: np.ndarray,
) -> np.ndarray:
    """The two crops of a training pair with their correspondences, and below each its soft detection scores.

    image1, image2: [S, S, 3] uint8 RGB. positions1, positions2: [n, 2] (row, column) in crop pixels, pixel centres at
    integers; the colour of a correspondence is that of its place in the first crop, and a dozen are numbered. scores1,
    scores2: [S / 8, S / 8], a square for each cell, on one scale for both. Returns [h, w, 3] uint8 RGB. Raises
    ValueError if sizes don't fit each other.
    """
    edge = len(image1)
    images, positions, scores = (image1, image2), (positions1, positions2), (scores1, scores2)
    _check_pair(edge, images, positions, scores)
    zoom = max(1, round(PANEL_PX / edge))
    panel = edge * zoom
    canvas = np.full((2 * (panel + STRIP) + GAP, 2 * panel + 3 * GAP, 3), BACKGROUND, np.uint8)
    colours, numbered = _place_colours(positions1, edge), _spread(positions1, NUMBERED)
    low, high = float(np.min(scores)), float(np.max(scores))
    for side in (0, 1):
        crop = _dimmed(images[side], zoom)
        _draw_positions(crop, (positions[side] + 0.5) * zoom, colours, numbered)
        heat = _heat((scores[side] - low) / max(high - low, np.finfo(np.float32).tiny))
        heat = cv2.resize(heat, (panel, panel), interpolation=cv2.INTER_NEAREST)
        left = GAP + side * (panel + GAP)
        for top, part in ((STRIP, crop), (2 * STRIP + panel, heat)):
            canvas[top : top + panel, left : left + panel] = part
    _write(canvas, (GAP, STRIP - 11), f"{len(positions1)} correspondences, in the colour of their place on the left")
    _write(canvas, (GAP, 2 * STRIP + panel - 11), "soft detection scores")
    _draw_scale(canvas, 2 * STRIP + panel - 11, f"{low:.2g}", f"{high:.2g}")
    return canvas


def _check_pair(edge: int, images: Sequence, positions: Sequence, scores: Sequence) -> None:
    cells = edge // 8
    for image, each, score in zip(images, positions, scores, strict=True):
        if image.shape != (edge, edge, 3) or image.dtype != np.uint8 or score.shape != (cells, cells):
            raise ValueError(
                f"expected crops [{edge}, {edge}, 3] uint8 with scores [{cells}, {cells}], "
                f"found {image.shape} {image.dtype} and {score.shape}"
            )
        if each.shape != (len(positions[0]), 2):
            raise ValueError(f"expected positions of shape {(len(positions[0]), 2)}, found {each.shape}")


def _dimmed(image: np.ndarray, zoom: int) -> np.ndarray:
    """The crop, larger, dark and grey: colours are the correspondences'."""
    larger = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(larger, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint(0.12 * larger + 0.48 * grey).astype(np.uint8)


def _place_colours(positions: np.ndarray, edge: int) -> list[Colour]:
    """A colour for each place in a crop: the hue turns about the middle, and is pale there."""
    row, column = (positions / (edge - 1) - 0.5).T
    hue = np.degrees(np.arctan2(row, column)) % 360
    saturation = np.clip(np.hypot(row, column) / 0.5, 0.1, 1)
    colours = np.stack([hue, saturation, np.ones_like(hue)], axis=-1, dtype=np.float32)[None]
    return np.rint(255 * cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)[0]).astype(int).tolist() if len(hue) else []


def _spread(positions: np.ndarray, most: int) -> list[int]:
    """Indices of positions far from each other: always the one that is farthest from those chosen before."""
    if not len(positions):
        return []
    chosen, distance = [0], np.full(len(positions), np.inf)
    while len(chosen) < min(most, len(positions)):
        distance = np.minimum(distance, np.linalg.norm(positions - positions[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return chosen


def _draw_positions(canvas: np.ndarray, row_column: np.ndarray, colours: list[Colour], numbered: list[int]) -> None:
    """A disc at each position (row, column), pixels of the canvas in the image frame; numbers above those chosen."""
    for (row, column), colour in zip(row_column, colours, strict=True):
        for ink, radius in ((BACKGROUND, 5), (colour, 3.5)):
            cv2.circle(canvas, fixed((column, row)), round(radius * 2**SHIFT), ink, -1, cv2.LINE_AA, SHIFT)
    for number, index in enumerate(numbered, start=1):
        row, column = row_column[index]
        cv2.circle(canvas, fixed((column, row)), 8 * 2**SHIFT, (255, 255, 255), 2, cv2.LINE_AA, SHIFT)
        width = _text_width(str(number))
        x, y = round(column) + 10, max(round(row) - 8, 14)
        x = x if x + width < canvas.shape[1] - 2 else round(column) - 10 - width
        canvas[y - 13 : y + 3, max(x - 2, 0) : x + width + 2] = BACKGROUND
        _write(canvas, (x, y), str(number))


def _heat(shares: np.ndarray) -> np.ndarray:
    """Colours of shares 0 to 1, [h, w, 3] RGB."""
    levels = np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]


def _draw_scale(canvas: np.ndarray, baseline: int, low: str, high: str) -> None:
    """A bar of the heat map's colours between its ends' values, at the right of a line of text."""
    length, right = 160, canvas.shape[1] - GAP - _text_width(high)
    bar = slice(right - 8 - length, right - 8)
    canvas[baseline - 13 : baseline + 1, bar] = _heat(np.linspace(0, 1, length)[None])
    _write(canvas, (right, baseline), high)
    _write(canvas, (bar.start - 8 - _text_width(low), baseline), low)


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0]


def _write(canvas: np.ndarray, xy: tuple[int, int], text: str) -> None:
    """Text whose baseline begins at (x, y)."""
    cv2.putText(canvas, text, xy, FONT, FONT_SCALE, TEXT, 1, cv2.LINE_AA)
