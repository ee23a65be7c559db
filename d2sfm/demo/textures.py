"""Materials, made from noise and irregular courses of stones, so that no two places of a surface look alike.

Every function takes a generator and the texture's shape (height, width) in texels, and lengths in texels: ``scale`` is
the number of texels for a metre. Pictures in the making are [h, w, 3] float32 RGB, 0..255.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

Colour = Sequence[float]  # red, green, blue, 0..255
Shape = tuple[int, int]  # height, width


def fractal(rng: np.random.Generator, shape: Shape, coarsest: float, finest: float = 1.0) -> np.ndarray:
    """Noise of all sizes between ``coarsest`` and ``finest`` texels: [h, w] float32, mean 0, deviation 1."""
    height, width = shape
    octaves = max(0, int(np.log2(max(coarsest, 1) / finest)))
    cell, amplitude, total = max(coarsest, finest), 1.0, None
    for _ in range(octaves + 1):
        size = max(2, math.ceil(width / cell)), max(2, math.ceil(height / cell))
        noise = amplitude * rng.standard_normal(size[::-1], np.float32)
        total = noise if total is None else cv2.resize(total, size, interpolation=cv2.INTER_CUBIC) + noise
        cell, amplitude = cell / 2, amplitude * 0.55
    total = cv2.resize(total, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / (total.std() + np.float32(1e-6))


def finish(image: np.ndarray) -> np.ndarray:
    """The picture as uint8."""
    return np.rint(image.clip(0, 255)).astype(np.uint8)


def brightened(image: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The picture with each texel's brightness changed by a share: [h, w], 0.1 is a tenth brighter."""
    return image * np.clip(1 + change, 0.2, 1.8)[..., None].astype(np.float32)


def blended(image: np.ndarray, other: np.ndarray | Colour, share: np.ndarray) -> np.ndarray:
    """``image`` where share [h, w] is 0, ``other`` (picture or colour) where it is 1."""
    share = share[..., None].astype(np.float32)
    return image * (1 - share) + np.asarray(other, np.float32) * share


def patches(rng: np.random.Generator, shape: Shape, size: float, cover: float) -> np.ndarray:
    """Irregular patches about ``size`` texels wide over a share ``cover`` of the surface: [h, w] float32, 0 to 1."""
    noise = fractal(rng, shape, size)
    return np.clip(4 * (noise - np.quantile(noise[::4, ::4], 1 - cover)) + 0.5, 0, 1)


def courses(
    rng: np.random.Generator,
    shape: Shape,
    scale: float,
    sizes_m: tuple[float, float, float],
    palette: Sequence[Colour],
    joint_colour: Colour,
    spread: float = 0.12,
) -> np.ndarray:
    """Rows of stones of uneven sizes and colours with joints between them.

    sizes_m: height of a row, length of a stone, width of a joint, in metres; spread: deviation of a stone's brightness
    as a share. Edges waver a little, and are lit from above.
    """
    row, stone, joint = (size * scale for size in sizes_m)
    height, width = shape
    image = np.full((height, width, 3), joint_colour, np.float32)
    relief = np.zeros(shape, np.float32)
    palette = np.asarray(palette, np.float64)
    top = 0.0
    while top < height:
        bottom = top + row * rng.uniform(0.92, 1.08)
        lengths = stone * rng.uniform(0.7, 1.3, math.ceil(width / (0.7 * stone)) + 2)
        edges = np.cumsum(lengths) - lengths[0] * rng.uniform(1, 2)
        edges = edges[: np.searchsorted(edges, width) + 1]
        colours = palette[rng.integers(len(palette), size=len(edges))] * (
            1 + spread * rng.standard_normal((len(edges), 1))
        )
        colours += rng.normal(0, 2.5, colours.shape)
        y = slice(round(top), max(0, round(bottom - joint)))
        starts, stops = (np.rint(e).astype(int).clip(0).tolist() for e in (edges[:-1], edges[1:] - joint))
        for x0, x1, colour, raised in zip(starts, stops, colours, rng.uniform(0.6, 1, len(edges)), strict=False):
            image[y, x0:x1] = colour
            relief[y, x0:x1] = raised
        top = bottom
    image = brightened(image, 0.25 * cv2.Sobel(cv2.GaussianBlur(relief, (0, 0), max(0.3, joint / 2)), -1, 0, 1) * joint)
    waver_x, waver_y = (0.25 * joint * fractal(rng, shape, 2 * row, finest=max(2, joint)) for _ in range(2))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(image, x + waver_x, y + waver_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def weathered(rng: np.random.Generator, image: np.ndarray, scale: float, strength: float = 1.0) -> np.ndarray:
    """Large stains, small grain and dark streaks that run down, over any material."""
    height, width = shape = image.shape[:2]
    image = brightened(image, strength * (0.09 * fractal(rng, shape, 1.5 * scale) + 0.03 * fractal(rng, shape, 4)))
    image = blended(image, (70, 62, 50), 0.35 * strength * patches(rng, shape, 0.7 * scale, 0.06))
    drips = cv2.resize(fractal(rng, (max(4, height // 12), width), 0.25 * scale), (width, height))
    return brightened(image, -0.1 * strength * np.clip(drips - 0.8, 0, 2))


def plaster(rng: np.random.Generator, shape: Shape, scale: float, colour: Colour) -> np.ndarray:
    """A painted wall whose paint has faded unevenly and come off in places, where bricks show."""
    wall = brightened(np.full((*shape, 3), colour, np.float32), 0.05 * fractal(rng, shape, 0.5 * scale))
    wall = blended(wall, np.asarray(colour) * 0.82 + 30, 0.8 * patches(rng, shape, 0.9 * scale, 0.15))
    gone = patches(rng, shape, 1.1 * scale, 0.05)
    edge = np.clip(cv2.GaussianBlur(gone, (0, 0), 0.02 * scale) - gone, 0, 1)
    wall = blended(wall, bricks(rng, shape, scale, (150, 92, 70)), gone)
    return weathered(rng, brightened(wall, -1.2 * edge), scale)


def bricks(rng: np.random.Generator, shape: Shape, scale: float, colour: Colour) -> np.ndarray:
    """A brick wall; some bricks are burnt dark, some are pale."""
    colour = np.asarray(colour, np.float64)
    palette = [colour, colour * 1.12, colour * 0.9, colour * 0.9, colour * 0.62, colour * 0.8 + 45]
    wall = courses(rng, shape, scale, (0.1, 0.27, 0.015), palette, (176, 166, 150))
    return weathered(rng, wall, scale, 1.2)


def ashlar(rng: np.random.Generator, shape: Shape, scale: float, colour: Colour) -> np.ndarray:
    """Large blocks of natural stone."""
    colour = np.asarray(colour, np.float64)
    palette = [colour, colour * 1.08, colour * 0.88, colour * (1.0, 0.97, 0.88)]
    wall = courses(rng, shape, scale, (0.34, 0.7, 0.02), palette, colour * 0.5, spread=0.07)
    return weathered(rng, wall, scale, 1.3)


def paving(rng: np.random.Generator, shape: Shape, scale: float) -> np.ndarray:
    """A square's floor: slabs, with darker cobbles in irregular places."""
    greys = [(168, 160, 146), (150, 146, 138), (182, 170, 150), (136, 130, 124), (160, 142, 122)]
    slabs = courses(rng, shape, scale, (0.55, 0.8, 0.025), greys, (92, 86, 76), spread=0.1)
    dark = [(112, 104, 98), (128, 116, 104), (96, 92, 92), (140, 122, 108)]
    cobbles = courses(rng, shape, scale, (0.14, 0.17, 0.03), dark, (62, 58, 50), spread=0.16)
    floor = blended(slabs, cobbles, patches(rng, shape, 5 * scale, 0.3))
    return weathered(rng, floor, scale, 1.2)


def roof_tiles(rng: np.random.Generator, shape: Shape, scale: float, colour: Colour) -> np.ndarray:
    """A tiled roof with some new and some mossy tiles."""
    colour = np.asarray(colour, np.float64)
    palette = [colour, colour * 0.85, colour * 1.15, colour * 0.7 + (0, 12, 0), colour * 0.9 + 20]
    roof = courses(rng, shape, scale, (0.2, 0.2, 0.022), palette, colour * 0.4)
    roof = blended(roof, (104, 110, 66), 0.6 * patches(rng, shape, 0.8 * scale, 0.08))
    return weathered(rng, roof, scale)


def planks(rng: np.random.Generator, shape: Shape, scale: float, colour: Colour) -> np.ndarray:
    """Boards with grain and knots."""
    height, width = shape
    colour = np.asarray(colour, np.float64)
    palette = [colour, colour * 1.15, colour * 0.8, colour * 0.92]
    boards = courses(rng, shape, scale, (0.15, 1.2, 0.015), palette, colour * 0.3)
    grain = cv2.resize(fractal(rng, (height, max(4, width // 10)), 0.12 * scale), (width, height))
    knots = patches(rng, shape, 0.09 * scale, 0.03)
    return weathered(rng, blended(brightened(boards, 0.09 * grain), colour * 0.35, 0.8 * knots), scale)


def meadow(rng: np.random.Generator, shape: Shape, scale: float) -> np.ndarray:
    """Grass with bare and dry places, and flowers."""
    grass = brightened(np.full((*shape, 3), (104, 124, 62), np.float32), 0.16 * fractal(rng, shape, 2 * scale))
    grass = blended(grass, (150, 140, 84), 0.7 * patches(rng, shape, 4 * scale, 0.2))
    grass = blended(grass, (122, 98, 70), 0.8 * patches(rng, shape, 2.5 * scale, 0.1))
    return blended(grass, (232, 222, 190), patches(rng, shape, 0.2 * scale, 0.01))


def leaves(rng: np.random.Generator, shape: Shape, scale: float) -> np.ndarray:
    """A clipped hedge with gaps and blossoms."""
    hedge = brightened(np.full((*shape, 3), (66, 96, 48), np.float32), 0.2 * fractal(rng, shape, 0.6 * scale))
    for colour, size, cover in (((36, 56, 34), 0.16, 0.3), ((126, 152, 74), 0.12, 0.2), ((222, 150, 168), 0.14, 0.03)):
        hedge = blended(hedge, colour, 0.9 * patches(rng, shape, size * scale, cover))
    return hedge


def awning(rng: np.random.Generator, shape: Shape, scale: float, colour: Colour) -> np.ndarray:
    """Striped canvas, faded and patched."""
    height, width = shape
    edges = np.cumsum(rng.uniform(0.12, 0.3, int(width / scale / 0.12) + 2)) * scale
    stripe = np.searchsorted(edges, np.arange(width)) % 2 * np.ones((height, 1))
    canvas = blended(np.full((*shape, 3), (236, 228, 208), np.float32), colour, stripe)
    canvas = blended(canvas, np.asarray(colour) * 0.6, 0.8 * patches(rng, shape, 0.35 * scale, 0.05))
    return weathered(rng, canvas, scale, 0.9)
