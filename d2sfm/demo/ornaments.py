"""What people put on walls: windows, doors, signs, posters and graffiti, drawn with OpenCV, no two alike.

Pictures are [h, w, 3] uint8 RGB; lengths are in texels, and ``scale`` is the number of texels for a metre. Walls and
windows may have a fourth channel: where there is glass, and how bright it is behind it at night (``scene.Quad.glow``).
"""

import cv2
import numpy as np

from d2sfm.demo.textures import Colour, Shape, blended, brightened, finish, fractal, patches, weathered

INK = [(32, 30, 36), (188, 44, 40), (28, 92, 150), (236, 182, 44), (40, 122, 84), (240, 236, 224), (140, 62, 130)]
PAPER = [
    (240, 230, 205),
    (246, 206, 92),
    (226, 104, 76),
    (92, 158, 186),
    (232, 236, 232),
    (52, 64, 92),
    (150, 186, 128),
]
LETTERS = "ABCDEFGHKLMNPRSTUVXYZ23456789"
FONTS = [cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX]


def pasted(image: np.ndarray, patch: np.ndarray, left: int, top: int) -> np.ndarray:
    """``image`` (float32) with ``patch`` at (left, top); what hangs over the edge is cut off.

    A patch without glass covers what glass the image has there.
    """
    height, width = image.shape[:2]
    x, y = max(0, left), max(0, top)
    part = patch[y - top : height - top, x - left : width - left]
    result = image.copy()
    place = result[y : y + part.shape[0], x : x + part.shape[1]]
    place[..., 3:] = 0
    channels = min(image.shape[2], patch.shape[2])
    place[..., :channels] = part[..., :channels]
    return result


def write(image: np.ndarray, text: str, box: tuple[int, int, int, int], colour: Colour, font: int) -> None:
    """Draw ``text`` as large as fits into box (left, top, width, height)."""
    left, top, width, height = box
    (w, h), _ = cv2.getTextSize(text, font, 1.0, 2)
    factor = min(width / w, height / h)
    if factor * h < 3:  # too small to be more than a smear
        return
    thickness = max(1, round(2.2 * factor))
    (w, h), _ = cv2.getTextSize(text, font, factor, thickness)
    place = (left + (width - w) // 2, top + (height + h) // 2)
    cv2.putText(image, text, place, font, factor, colour, thickness, cv2.LINE_AA)


def _pick(rng: np.random.Generator, choices: list) -> object:
    return choices[rng.integers(len(choices))]


def _shape(rng: np.random.Generator, image: np.ndarray, colour: Colour) -> None:
    """Draw an ellipse, a polygon, a ring or a bundle of stripes somewhere."""
    height, width = image.shape[:2]
    centre = rng.uniform(0.1, 0.9, 2) * (width, height)
    size = rng.uniform(0.12, 0.42) * min(height, width)
    middle = tuple(int(c) for c in centre)
    kind = rng.integers(4)
    if kind == 0:
        axes = (int(size) + 1, int(size * rng.uniform(0.4, 1)) + 1)
        cv2.ellipse(image, middle, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        reach = size * rng.uniform(0.5, 1.4, len(angles))
        corners = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]
        cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    elif kind == 2:
        cv2.circle(image, middle, int(size) + 1, colour, int(size / 4) + 1, cv2.LINE_AA)
    else:
        angle = rng.uniform(0, np.pi)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        for step in range(rng.integers(2, 5)):
            ends = [centre + across * step * size / 3 + sign * size * along for sign in (-1, 1)]
            start, end = (tuple(int(c) for c in point) for point in ends)
            cv2.line(image, start, end, colour, int(size / 8) + 1, cv2.LINE_AA)


def poster(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Paper with shapes, blobs and letters."""
    height, width = shape
    image = np.full((height, width, 3), _pick(rng, PAPER), np.uint8)
    for _ in range(rng.integers(4, 9)):
        _shape(rng, image, _pick(rng, INK))
    blobs = patches(rng, shape, 0.3 * width, 0.12)
    image = finish(blended(image.astype(np.float32), _pick(rng, INK), blobs))
    for _ in range(rng.integers(2, 5)):
        text = "".join(_pick(rng, list(LETTERS)) for _ in range(rng.integers(2, 7)))
        band = int(height * rng.uniform(0.08, 0.2))
        box = (int(0.06 * width), int(rng.uniform(0.02, 0.85) * height), int(0.88 * width), band)
        write(image, text, box, _pick(rng, INK), _pick(rng, FONTS))
    rim = max(1, width // 40)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), _pick(rng, INK), rim)
    return finish(weathered(rng, image.astype(np.float32), width, 0.5))


def window(rng: np.random.Generator, shape: Shape, frame_colour: Colour) -> np.ndarray:
    """Panes in a frame: some dark, some with curtains, all with reflections of their own.

    [h, w, 4]: the fourth channel is 255 on glass, 0 on the frame.
    """
    height, width = shape
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    glass = np.full((height, width, 3), (58, 72, 88), np.float32)
    glass = brightened(glass, 0.5 * fractal(rng, shape, width, finest=4))
    glass = blended(glass, (186, 202, 214), 0.6 * patches(rng, shape, 0.6 * width, 0.22))
    if rng.uniform() < 0.6:  # curtains on both sides
        folds = 0.15 * np.sin(np.arange(width) * 40 / width + rng.uniform(0, 6)) * np.ones((height, 1))
        cloth = brightened(np.full_like(glass, _pick(rng, PAPER)), folds)
        side = np.abs(np.arange(width) / width - 0.5) * np.ones((height, 1)) > rng.uniform(0.2, 0.4)
        glass = blended(glass, cloth, 0.85 * side)
    image, bar = finish(np.dstack([glass, np.full(shape, 255, np.float32)])), max(1, width // 24)
    for column in range(1, columns):
        cv2.line(image, (column * width // columns, 0), (column * width // columns, height), frame_colour, bar)
    for row in range(1, rows):
        cv2.line(image, (0, row * height // rows), (width, row * height // rows), frame_colour, bar)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), frame_colour, 2 * bar)
    image[..., :3] = finish(brightened(image[..., :3].astype(np.float32), 0.04 * fractal(rng, shape, width / 4)))
    return image


def door(rng: np.random.Generator, shape: Shape, colour: Colour) -> np.ndarray:
    """A panelled door with a number and a letter box."""
    height, width = shape
    base = brightened(np.full((height, width, 3), colour, np.float32), 0.1 * fractal(rng, shape, width / 3))
    image = finish(weathered(rng, base, width, 0.6))
    dark, light = (tuple(float(c) for c in np.asarray(colour) * f) for f in (0.45, 1.35))
    for row in range(3):
        for column in range(2):
            left, right = (int(width * (0.08 + 0.46 * column + d)) for d in (0, 0.38))
            top, bottom = (int(height * (0.05 + 0.31 * row + d)) for d in (0, 0.25))
            cv2.rectangle(image, (left, top), (right, bottom), dark, max(1, width // 40))
            cv2.line(image, (left, bottom), (right, bottom), light, max(1, width // 60))
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), dark, max(1, width // 30))
    cv2.circle(image, (int(0.88 * width), int(0.52 * height)), max(1, width // 22), (230, 200, 110), -1, cv2.LINE_AA)
    number = (int(0.3 * width), int(0.08 * height), int(0.4 * width), int(0.1 * height))
    write(image, str(rng.integers(2, 99)), number, (240, 235, 220), cv2.FONT_HERSHEY_TRIPLEX)
    return image


def sign(rng: np.random.Generator, shape: Shape, text: str, colour: Colour, ink: Colour) -> np.ndarray:
    """A painted board with a word."""
    height, width = shape
    board = finish(weathered(rng, np.full((height, width, 3), colour, np.float32), width / 3, 0.7))
    rim = max(1, height // 16)
    cv2.rectangle(board, (rim, rim), (width - 1 - rim, height - 1 - rim), ink, rim)
    write(board, text, (height // 3, height // 4, width - 2 * height // 3, height // 2), ink, cv2.FONT_HERSHEY_TRIPLEX)
    return board


def graffiti(rng: np.random.Generator, image: np.ndarray, scale: float, count: int) -> np.ndarray:
    """Sprayed loops and words on the lower part of a wall (float32 in, float32 out)."""
    height, width = image.shape[:2]
    paint = finish(image)
    for _ in range(count):
        steps = np.cumsum(rng.normal(0, 0.16 * scale, (14, 2)), axis=0)
        start = (rng.uniform(0, width), height - rng.uniform(0.4, 1.6) * scale)
        curve = cv2.GaussianBlur(steps.astype(np.float32), (1, 5), 1) + np.float32(start)
        thickness = max(1, round(rng.uniform(0.02, 0.05) * scale))
        cv2.polylines(paint, [curve.astype(np.int32)], False, _pick(rng, INK), thickness, cv2.LINE_AA)
    return paint.astype(np.float32)
