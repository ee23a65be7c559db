"""Pictures of training: pairs with their correspondences and scores, and the curve of losses. Drawn with OpenCV."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from d2sfm.plots import BACKGROUND, GRID, INLIER, RECOVERED, SHIFT, SMOOTHING, TEXT, TRUE, fixed

PANEL_PX = 512  # about the edge of a crop as it is drawn
NUMBERED = 12  # correspondences that are marked by a number
GAP, STRIP = 12, 34  # pixels around panels, and height of a line of text
FONT, FONT_SCALE = cv2.FONT_HERSHEY_DUPLEX, 0.52
FAINT = (118, 104, 84)
SIZE = (1200, 640)  # of the curve of losses
LEFT, TOP, RIGHT, BOTTOM = 92, 56, 28, 62  # around its axes
MEDIANS = 600  # most points of the curve of step losses

Colour = tuple[int, int, int]


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
    ValueError where sizes don't fit each other.
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


def draw_losses(
    training: Sequence[tuple[float, float]], validation: Sequence[tuple[float, float]], steps: np.ndarray
) -> np.ndarray:
    """The curve of losses of a run.

    training: (epoch, mean loss) counted from 1, drawn in the middle of the epoch, which ends at its number on the axis;
    validation: (epoch, loss), 0 being the start, drawn where the epoch ends, the smallest marked; steps: [k, 2] epochs
    that have passed (2.5 is the middle of the third), and the step's loss, drawn as a running median over one step in a
    hundred. What is not finite is left out; each may be empty. Returns [640, 1200, 3] uint8 RGB.
    """
    means, validated, medians = _finite(training), _finite(validation), _running_median(_finite(steps))
    canvas = np.full((SIZE[1] * SMOOTHING, SIZE[0] * SMOOTHING, 3), BACKGROUND, np.uint8)
    axes = _Axes.around(np.concatenate([means, validated, medians]))
    _draw_axes(canvas, axes)
    _draw_curve(canvas, axes.pixels(medians), FAINT, 1.5, discs=False)
    _draw_curve(canvas, axes.pixels(means - np.array([0.5, 0.0])), RECOVERED, 2.5, discs=True)
    _draw_curve(canvas, axes.pixels(validated), TRUE, 2.5, discs=True)
    curves = ((medians, "steps, median", FAINT), (means, "epochs, mean", RECOVERED), (validated, "validation", TRUE))
    entries = [(label, ink) for points, label, ink in curves if len(points)]
    if len(validated):
        epoch, best = validated[validated[:, 1].argmin()]
        centre = fixed(axes.pixels(np.array([[epoch, best]]))[0])
        cv2.circle(canvas, centre, 9 * SMOOTHING << SHIFT, INLIER, 2 * SMOOTHING, cv2.LINE_AA, SHIFT)
        entries.append((f"best: {best:.4f}, {f'epoch {epoch:g}' if epoch else 'the start'}", INLIER))
    _draw_legend(canvas, entries or [("no losses", FAINT)])
    return cv2.resize(canvas, SIZE, interpolation=cv2.INTER_AREA)


def _finite(points: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _running_median(steps: np.ndarray) -> np.ndarray:
    """Median epoch and loss of windows over a hundredth of the steps, [m, 2] with m at most about MEDIANS."""
    if not len(steps):
        return steps
    windows = np.lib.stride_tricks.sliding_window_view(steps, max(1, len(steps) // 100), axis=0)
    return np.median(windows[:: max(1, len(windows) // MEDIANS)], axis=-1)


@dataclass(frozen=True)
class _Axes:
    """From (epoch, loss) to pixels of the canvas; ``low`` and ``high`` are the corners of what is shown."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray) -> "_Axes":
        """Axes from epoch 0 that show all points [N, 2], with some room above and below."""
        if not len(points):
            return cls(np.zeros(2), np.ones(2))
        (_, lowest), (last, highest) = points.min(axis=0), points.max(axis=0)
        room = 0.06 * (highest - lowest) or 0.06 * abs(highest) or 0.5
        return cls(np.array([0, lowest - room]), np.array([max(last, 1.0), highest + room]))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """[N, 2], in the image frame of the larger canvas."""
        corner, far = np.array([LEFT, SIZE[1] - BOTTOM]), np.array([SIZE[0] - RIGHT, TOP])
        return (corner + (points - self.low) / (self.high - self.low) * (far - corner)) * SMOOTHING

    def ticks(self, axis: int, about: int, least: float = 0.0) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten that are shown, about so many."""
        low, high = self.low[axis], self.high[axis]
        power = 10.0 ** np.floor(np.log10((high - low) / about))
        spacing = max(least, next(power * step for step in (1, 2, 5, 10, 20) if power * step * about >= high - low))
        return [float(spacing * n) for n in range(int(np.ceil(low / spacing)), int(np.floor(high / spacing)) + 1)]


def _draw_axes(canvas: np.ndarray, axes: _Axes) -> None:
    """Lines and labels at the ticks of both axes."""
    left, right, top, bottom = LEFT, SIZE[0] - RIGHT, TOP, SIZE[1] - BOTTOM
    for epoch in axes.ticks(0, 12, least=1.0):
        x = axes.pixels(np.array([[epoch, axes.low[1]]]))[0, 0] / SMOOTHING
        label = f"{epoch:.0f}"
        _draw_line(canvas, (x, top), (x, bottom))
        _write(canvas, (round(x - _text_width(label) / 2), bottom + 24), label, SMOOTHING)
    losses = axes.ticks(1, 8)
    decimals = max(0, int(np.ceil(-np.log10(losses[1] - losses[0]) - 1e-6)))
    for loss in losses:
        y = axes.pixels(np.array([[0, loss]]))[0, 1] / SMOOTHING
        label = f"{loss:.{decimals}f}"
        _draw_line(canvas, (left, y), (right, y))
        _write(canvas, (left - 10 - _text_width(label), round(y) + 5), label, SMOOTHING)
    _write(canvas, ((left + right - _text_width("epochs")) // 2, SIZE[1] - 12), "epochs", SMOOTHING)
    _write(canvas, (left - 10 - _text_width("loss"), TOP - 20), "loss", SMOOTHING)


def _draw_line(canvas: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> None:
    cv2.line(canvas, fixed(start, SMOOTHING), fixed(end, SMOOTHING), GRID, SMOOTHING, cv2.LINE_AA, SHIFT)


def _draw_curve(canvas: np.ndarray, pixels: np.ndarray, ink: Colour, width: float, discs: bool) -> None:
    corners = np.array([fixed(xy) for xy in pixels], np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [corners], False, ink, round(width * SMOOTHING), cv2.LINE_AA, SHIFT)
    for x, y in corners[:, 0].tolist() if discs else []:
        cv2.circle(canvas, (x, y), 5 * SMOOTHING << SHIFT, ink, -1, cv2.LINE_AA, SHIFT)


def _draw_legend(canvas: np.ndarray, entries: list[tuple[str, Colour]]) -> None:
    """Discs with labels, in a row above the axes, at the right."""
    x = SIZE[0] - RIGHT - sum(_text_width(label) + 44 for label, _ in entries) + 20
    for label, ink in entries:
        cv2.circle(canvas, (x * SMOOTHING, (TOP - 25) * SMOOTHING), 6 * SMOOTHING, ink, -1, cv2.LINE_AA)
        _write(canvas, (x + 14, TOP - 20), label, SMOOTHING)
        x += _text_width(label) + 44


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0]


def _write(canvas: np.ndarray, xy: tuple[int, int], text: str, zoom: int = 1) -> None:
    """Text whose baseline begins at (x, y), on a canvas that is ``zoom`` times larger."""
    origin = (xy[0] * zoom, xy[1] * zoom)
    cv2.putText(canvas, text, origin, FONT, FONT_SCALE * zoom, TEXT, zoom, cv2.LINE_AA)
