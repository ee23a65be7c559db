"""A small town square: three houses, a monument, a market stall, an advertising column, crates, a wall and hedges.

Walls step forwards and back, and most things stand at angles of their own: no single plane explains two views.
"""

from functools import partial

import numpy as np

from d2sfm.demo import ornaments
from d2sfm.demo.builder import Builder
from d2sfm.demo.lighting import lit
from d2sfm.demo.scene import Quad, Scene
from d2sfm.demo.textures import ashlar, awning, bricks, leaves, meadow, paving, planks, plaster, roof_tiles

CENTRE = np.array([0.0, -2.0, 2.0])
EXTENT_M = 20.0
TO_SUN = np.array([-0.55, -0.75, 0.8])
SKY = np.array([[214, 226, 236], [104, 156, 214]], np.float64)

OCHRE, SALMON, BLUE = (partial(plaster, colour=c) for c in ((226, 188, 122), (216, 146, 116), (150, 178, 190)))
STONE, GREY_STONE = (partial(ashlar, colour=c) for c in ((206, 192, 164), (170, 168, 164)))
BRICK, DARK_BRICK = (partial(bricks, colour=c) for c in ((172, 92, 70), (128, 82, 72)))
TILES, SLATES = (partial(roof_tiles, colour=c) for c in ((186, 98, 66), (112, 112, 124)))
WOOD, PALE_WOOD = (partial(planks, colour=c) for c in ((150, 108, 70), (196, 160, 112)))
GREEN, RED, GOLD, WHITE = (44, 82, 70), (158, 52, 46), (236, 214, 150), (238, 234, 222)


def build_square(seed: int = 0, texels_per_m: float = 96.0) -> Scene:
    """The square; the same seed and texture resolution give the same scene, to the last texel.

    ``scene.arc_of_views(CENTRE)`` shows it whole. 96 texels for a metre are finer than what a picture of 640 x 480 px
    resolves of the nearest things.
    """
    return Scene(lit(square_quads(np.random.default_rng(seed), texels_per_m), TO_SUN), SKY, CENTRE, EXTENT_M)


def square_quads(rng: np.random.Generator, texels_per_m: float) -> list[Quad]:
    """Everything that stands on the square and around it, before light falls on it."""
    near, far = Builder(rng, texels_per_m), Builder(rng, texels_per_m / 3)
    parts = [_middle_house, _left_house, _right_house, _monument, _stall, _column_and_crates]
    return [*_grounds(near, far), *_background(far), *(quad for part in parts for quad in part(near))]


def _grounds(near: Builder, far: Builder) -> list[Quad]:
    """The paved square on its kerb, in a meadow."""
    land = Builder(far.rng, far.scale / 3).quad((-60, 60, -0.15), (120, 0, 0), (0, -100, 0), meadow)
    return [land, *near.box((0, -3), (27, 22, 0.15), GREY_STONE, paving, bottom_m=-0.15)]


def _middle_house(b: Builder) -> list[Quad]:
    """Plastered, with a bay, pilasters, balconies, steps, a dormer and chimneys."""

    def front(wall):
        wall = b.put(b.windows(wall, 4, [1.5, 4.3], (1.0, 1.5)), partial(STONE, scale=b.scale), 0, 0, 10, 0.9)
        wall = b.put(wall, partial(ornaments.door, colour=GREEN), 7.05, 0.54, 1.1, 2.2)
        return b.posters(wall, 2, 0.9, 1.1)

    def bay_front(wall):
        wall = b.sign(b.windows(wall, 2, [0.9, 3.3], (0.9, 1.4), GREEN), "CAFE LUMIERE", 2.55, 0.5, GREEN, GOLD)
        return b.posters(wall, 2, 0.1, 0.3)

    bay_side = partial(b.windows, columns=1, sills_m=[3.3], size_m=(0.6, 1.4), frame=GREEN)
    quads = b.box((0, 2), (10, 4, 6.5), OCHRE, front=front)
    quads += b.box((0.2, -0.6), (2.8, 1.2, 5.2), SALMON, TILES, front=bay_front, left=bay_side, right=bay_side)
    for x in (-4.8, -1.9, 4.8):
        quads += b.box((x, -0.12), (0.42, 0.3, 6.5), STONE)
    for x in (-3.4, 3.4):
        quads += b.box((x, -0.5), (1.9, 1.0, 0.9), STONE, bottom_m=3.3)
    for step in range(3):
        quads += b.box((2.7, -0.2 * (3 - step)), (2.0, 0.4 * (3 - step), 0.18), GREY_STONE, bottom_m=0.18 * step)
    quads += b.box((0, 1.9), (10.6, 4.6, 0.35), STONE, bottom_m=6.5)
    quads += b.roof((0, 2), (10, 4, 2.6), 6.85, 0, TILES, DARK_BRICK)
    dormer = partial(b.windows, columns=1, sills_m=[0.3], size_m=(0.9, 0.9))
    quads += b.box((1.7, 1.1), (1.5, 1.9, 1.5), BLUE, SLATES, 7.3, front=dormer)
    for x in (-3.0, -0.6):
        quads += b.box((x, 1.9), (0.7, 0.7, 1.6), DARK_BRICK, bottom_m=8.6)
    return quads


def _left_house(b: Builder) -> list[Quad]:
    """Of brick, with a stepped gable, an oriel and a shop's awning; it stands forward of its neighbour."""

    def front(wall):
        wall = b.windows(wall, 2, [0.8, 3.1], (1.2, 1.3), GREEN)
        return ornaments.graffiti(b.rng, b.sign(wall, "BOOKS & MAPS", 2.3, 0.5, RED, GOLD), b.scale, 3)

    def side(wall):
        return ornaments.graffiti(b.rng, b.posters(b.windows(wall, 3, [3.1], (0.9, 1.3)), 9, 0.3, 1.4), b.scale, 3)

    quads = b.box((-7.4, 0.5), (4.6, 7, 5), BRICK, SLATES, front=front, right=side, left=side)
    for step in range(4):
        quads += b.box((-7.4, -2.7), (4.8 - 1.15 * step, 0.7, 0.6), BRICK, STONE, 5 + 0.6 * step)
    oriel = partial(b.windows, columns=1, sills_m=[0.4], size_m=(0.8, 1.0), frame=RED)
    quads += b.box((-7.3, -3.3), (1.3, 0.6, 1.7), PALE_WOOD, SLATES, 3.0, front=oriel)
    canvas = partial(awning, colour=RED)
    quads.append(b.quad((-9.3, -3.0, 2.35), (3.8, 0, 0), (0, -1.2, -0.45), canvas))
    return quads


def _right_house(b: Builder) -> list[Quad]:
    """Blue, low, and turned towards the middle of the square."""

    def front(wall):
        wall = b.windows(wall, 3, [0.9, 2.9], (0.9, 1.1), WHITE)
        wall = b.put(wall, partial(ornaments.door, colour=RED), 2.0, 0, 1.0, 2.1)
        return ornaments.graffiti(b.rng, b.posters(wall, 3, 0.4, 0.8), b.scale, 2)

    place = {"turn_deg": -20.0}
    side = partial(b.posters, count=6, low_m=0.4, high_m=2.0)
    quads = b.box((8.4, 0.8), (5.4, 5, 4.4), BLUE, SLATES, front=front, left=side, right=side, **place)
    quads += b.roof((8.4, 0.8), (5.4, 5, 2.0), 4.4, -20, SLATES, BRICK)
    quads += b.box((7.3, -1.75), (2.2, 0.8, 0.8), PALE_WOOD, bottom_m=2.2, **place)
    quads += b.box((9.9, -0.75), (0.6, 0.5, 5.6), DARK_BRICK, **place)
    return quads


def _background(b: Builder) -> list[Quad]:
    """Houses and hedges beyond the square."""
    quads = []
    for x, y, width, height, turn, material in (
        (-4, 14, 9, 9, 8, BLUE),
        (7, 15, 8, 11, -6, SALMON),
        (-18, 9, 9, 8, 40, STONE),
        (19, 9, 9, 8, -35, OCHRE),
        (-24, -4, 8, 6, 75, BRICK),
        (25, -4, 8, 6, -75, STONE),
    ):
        front = partial(b.windows, columns=4, sills_m=[1.5, 4.0], size_m=(1.1, 1.6))
        quads += b.box((x, y), (width, 5, height), material, TILES, -0.15, turn, front=front)
    for x, y, length, turn in ((-14.5, 1, 9, 80), (15, 0, 10, -82), (-12, 8, 6, 20), (13, 8, 6, -20)):
        quads += b.box((x, y), (length, 1.1, 2.0), leaves, bottom_m=-0.15, turn_deg=turn)
    return quads


def _monument(b: Builder) -> list[Quad]:
    """Steps, a pedestal, and three painted blocks turned against each other."""
    quads = []
    for size, height, bottom, turn in ((2.7, 0.28, 0, 12), (1.9, 0.28, 0.28, 12), (1.0, 1.1, 0.56, 12)):
        quads += b.box((-0.4, -4.2), (size, size, height), GREY_STONE, bottom_m=bottom, turn_deg=turn)
    for size, bottom, turn in ((0.75, 1.66, 50), (0.58, 2.41, 15), (0.42, 2.99, 65)):
        quads += b.box((-0.4, -4.2), (size, size, size), _painted, bottom_m=bottom, turn_deg=turn)
    return quads


def _stall(b: Builder) -> list[Quad]:
    """A market stall under a sloping canvas, with boxes of goods."""
    turn, centre = 28.0, np.array([4.7, -4.7])
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    across, back = np.array([c, s]), np.array([-s, c])
    sign = partial(b.sign, text="MARKET", bottom_m=0.3, height_m=0.4, colour=GOLD, ink=RED)
    quads = b.box(centre, (2.3, 0.9, 0.9), WOOD, turn_deg=turn, front=sign)
    for side in (-1, 1):
        for depth, height in ((-0.6, 2.1), (0.6, 2.6)):
            quads += b.box(centre + 1.15 * side * across + depth * back, (0.09, 0.09, height), PALE_WOOD, turn_deg=turn)
    for index in range(4):
        spot = centre + (-0.84 + 0.56 * index) * across - 0.05 * back
        quads += b.box(spot, (0.44, 0.5, 0.2 + 0.07 * (index % 3)), PALE_WOOD, _painted, 0.9, turn + 6 * index - 9)
    corner = np.array([*(centre - 1.35 * across + 0.7 * back), 2.65])
    quads.append(b.quad(corner, (*(2.7 * across), 0), (*(-1.5 * back), -0.6), partial(awning, colour=GREEN)))
    return quads


def _column_and_crates(b: Builder) -> list[Quad]:
    """What stands about: an advertising column, crates, a low wall, a planter."""
    posters = partial(b.posters, count=6, low_m=0.2, high_m=1.6)
    quads = b.box((-3.7, -5.0), (1.0, 1.0, 2.5), GREY_STONE, turn_deg=30, front=posters, left=posters, right=posters)
    quads += b.box((-3.7, -5.0), (1.2, 1.2, 0.18), WOOD, bottom_m=2.5, turn_deg=30)
    stamp = partial(b.sign, text="D2 SFM", bottom_m=0.25, height_m=0.3, colour=GOLD, ink=GREEN)
    for x, y, bottom, turn in ((2.0, -6.8, 0, 15), (2.9, -6.5, 0, -20), (2.4, -6.7, 0.75, 38)):
        quads += b.box((x, y), (0.75, 0.75, 0.75), PALE_WOOD, None, bottom, turn, front=stamp, left=_tagged(b))
    quads += b.box((-6.9, -6.6), (3.2, 0.4, 0.85), BRICK, STONE, turn_deg=-38, front=_tagged(b))
    quads += b.box((8.6, -6.6), (2.4, 0.8, 0.55), GREY_STONE, turn_deg=38)
    quads += b.box((8.6, -6.6), (2.1, 0.5, 0.6), leaves, bottom_m=0.55, turn_deg=38)
    return quads


def _tagged(b: Builder):
    return lambda wall: ornaments.graffiti(b.rng, wall, b.scale, 2)


def _painted(rng: np.random.Generator, shape, scale: float) -> np.ndarray:
    """As a material: shapes, blobs and letters."""
    return ornaments.poster(rng, shape).astype(np.float32)
