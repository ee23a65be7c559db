"""The town square with street lamps, by day and by night: the same surfaces under two lights.

By night the sun is down. Lamps on posts and lit windows give warm light, and the sky a little blue one. Lamps stand low
and among things, so that shadows fall the other way, and upper storeys stay in the dark.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from d2sfm.demo import lighting
from d2sfm.demo.builder import Builder
from d2sfm.demo.exposure import encoded, linear
from d2sfm.demo.lighting import lit, points_on, sky_of, skylight, stretched, unblocked
from d2sfm.demo.scene import Quad, Scene
from d2sfm.demo.square import CENTRE, EXTENT_M, SKY, TO_SUN, square_quads
from d2sfm.demo.textures import finish, fractal, planks

POSTS = ((-3.6, -2.3), (2.4, -2.9), (6.7, -3.6), (-7.9, -5.6), (0.9, -8.3))  # x, y on the square, metres
LAMP_M = 3.3  # of the light above the ground
LANTERN_M = 0.34
# Linear light, where 1 shows a white wall as white.
LAMP = 7.0 * np.array([1.0, 0.72, 0.42])  # of a surface that faces the lamp at a distance of 1 m
WINDOW = 2.4 * np.array([1.0, 0.75, 0.45])  # from behind the glass of the brightest
LANTERN = 12.0 * np.array([1.0, 0.80, 0.55])
SKYLIGHT = np.array([0.010, 0.013, 0.022])  # of a surface under the open sky
BOUNCE = np.array([0.008, 0.006, 0.004])  # light of the lamps from all around
NIGHT_SKY = np.array([[0.016, 0.015, 0.024], [0.003, 0.005, 0.014]])  # at the horizon, over a town, and overhead
DARK_GLASS = 0.4  # reflectance of glass at night: there is no bright sky in it
IRON = (44, 50, 52)


def build_square_by_day_and_night(seed: int = 0, texels_per_m: float = 96.0) -> tuple[Scene, Scene]:
    """The square of ``build_square`` with street lamps: under the sun, and at night.

    Both have the same rectangles in the same order. Textures and sky of the second hold linear light as
    ``exposure.encoded`` does, for ``exposure.photograph_by_night``.
    """
    rng = np.random.default_rng(seed)
    quads = square_quads(rng, texels_per_m)
    posts, lanterns = _street_lamps(Builder(rng, texels_per_m))
    day = Scene(lit([*quads, *posts, *lanterns], TO_SUN), SKY, CENTRE, EXTENT_M)
    night = by_lamplight([*quads, *posts], lanterns, np.array([(x, y, LAMP_M) for x, y in POSTS]))
    return day, Scene(night, encoded(NIGHT_SKY), CENTRE, EXTENT_M)


def by_lamplight(quads: list[Quad], lanterns: list[Quad], lamps: np.ndarray) -> list[Quad]:
    """The quads, then the lanterns, as they are at night; lamps: [L, 3] where the lanterns' lights are."""
    sky, blockers = sky_of(quads), [_blockers(quads, lamp) for lamp in lamps]
    all_quads = [(quad, WINDOW) for quad in quads] + [(quad, LANTERN) for quad in lanterns]
    return [
        replace(quad, texture=finish(encoded(_lamplit(quad, sky, lamps, blockers) + _rooms(quad, index, behind))))
        for index, (quad, behind) in enumerate(all_quads)
    ]


def _street_lamps(b: Builder) -> tuple[list[Quad], list[Quad]]:
    """Posts with their feet and caps, and the lanterns of glass between these."""
    iron = partial(planks, colour=IRON)
    low, high = LAMP_M - LANTERN_M / 2, LAMP_M + LANTERN_M / 2

    def glass(wall):
        rim = max(1, round(0.03 * b.scale))
        wall[rim:-rim, rim:-rim] = (226, 222, 206, 255)
        return wall

    posts, lanterns = [], []
    for x, y in POSTS:
        posts += b.box((x, y), (0.26, 0.26, 0.5), iron) + b.box((x, y), (0.1, 0.1, low), iron)
        posts += b.box((x, y), (0.5, 0.5, 0.08), iron, bottom_m=high)
        size = (LANTERN_M, LANTERN_M, LANTERN_M)
        lanterns += b.box((x, y), size, iron, bottom_m=low, front=glass, right=glass, back=glass, left=glass)
    return posts, lanterns


def _lamplit(quad: Quad, sky: list, lamps: np.ndarray, blockers: list) -> np.ndarray:
    """What the surface gives back of the light of lamps and sky, linear, [h, w, 3]."""
    light = skylight(quad, sky) * SKYLIGHT + BOUNCE
    points = points_on(quad, *lighting.SUN_CELLS)
    lamplight = np.zeros(points.shape[:2])
    for lamp, rest in zip(lamps, blockers, strict=True):
        away = lamp - points
        if away[0, 0] @ quad.normal > 0:
            distance = np.linalg.norm(away, axis=2)
            lamplight += away @ quad.normal / distance**3 * unblocked(quad, points, *rest, crosses=_crosses)
    light = (light + stretched(lamplight, quad.texture.shape) * LAMP) * linear(quad.texture)
    return light if quad.glow is None else light * np.where(quad.glow[..., None] > 0, DARK_GLASS, 1)


def _rooms(quad: Quad, seed: int, behind: np.ndarray) -> np.ndarray | float:
    """The light that comes through the glass, linear, [h, w, 3]: rooms are brighter here than there."""
    if quad.glow is None:
        return 0.0
    texels_per_m = quad.glow.shape[0] / np.linalg.norm(quad.edge_v)
    rooms = fractal(np.random.default_rng(seed), quad.glow.shape, 0.5 * texels_per_m, max(1, 0.1 * texels_per_m))
    share = np.where(quad.glow > 1, quad.glow / 255, 0) * (0.8 + 0.2 * rooms).clip(0.3, 1.2)
    return share[..., None] * behind * (0.5 + 0.5 * linear(quad.texture))


def _blockers(quads: list[Quad], lamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What can stop the lamp's light: the quads that have it before their front. A box has one of these on each ray.

    Returns M [Q, 3, 4] with M (x, 1) = (u, v, 1) / s, where the line from the lamp to x meets the quad's plane at the
    share s of its length, and the quads' corners [Q, 4, 3].
    """
    facing = [quad for quad in quads if (lamp - quad.origin) @ quad.normal > 1e-6]
    systems = np.stack([np.stack([quad.edge_u, quad.edge_v, quad.origin - lamp], axis=1) for quad in facing])
    inverses = np.linalg.inv(systems)
    offsets = -inverses @ lamp[:, None]
    return np.concatenate([inverses, offsets], axis=2), np.stack([quad.corners for quad in facing])


def _crosses(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As ``_blockers`` has it: between lamp and point is what lies at less than the whole length."""
    return (w > 1 + 1e-4) & (u >= 0) & (u <= w) & (v >= 0) & (v <= w)
