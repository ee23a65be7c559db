"""Sun, sky and shadows, computed once for a scene and painted into its textures: light is the same in all views."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from cv2 import INTER_LINEAR, resize

from d2sfm.demo.scene import Quad

SUN = np.array([0.95, 0.89, 0.76], np.float32)  # RGB, what a surface that faces the sun gets
SKY = np.array([0.50, 0.54, 0.61], np.float32)  # RGB, what a surface in the shade gets under the open sky
SUN_RADIUS = 0.012  # as a tangent; larger than the real one's 0.005, for soft edges of shadows
# Cells of the light maps: their size in metres, and the most along an edge.
SUN_CELLS = (0.12, 240)
SKY_CELLS = (0.5, 50)
CHUNK = 500  # points that are tested together, so that the arrays stay small


def lit(quads: list[Quad], to_sun: np.ndarray) -> list[Quad]:
    """The quads with light in their textures; ``to_sun`` [3] points at the sun. Sides that face away get none of it."""
    to_sun = np.asarray(to_sun, np.float64) / np.linalg.norm(to_sun)
    disc = [to_sun + SUN_RADIUS * np.array(offset) for offset in ((1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1))]
    sun, sky = [(ray, *_blockers(quads, ray)) for ray in disc], sky_of(quads)
    return [_lit_quad(quad, to_sun, sun, sky) for quad in quads]


def sky_of(quads: list[Quad]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For ``skylight``: directions over the upper half of the sphere, and what can stop a ray into each."""
    return [(ray, *_blockers(quads, ray)) for ray in _sky_rays()]


def skylight(quad: Quad, sky: list) -> np.ndarray:
    """The share of the sky's light that each texel gets, [h, w, 1] float32; a quarter comes back from other walls."""
    # A ray of the sky counts with the cosine of its angle to the surface (Lambert's law).
    weights = [max(0.0, ray @ quad.normal) for ray, *_ in sky]
    points = points_on(quad, *SKY_CELLS)
    seen = sum(w * unblocked(quad, points, *rest) for w, (_, *rest) in zip(weights, sky, strict=True) if w > 0)
    return stretched(0.25 + 0.75 * seen / sum(weights), quad.texture.shape)


def _lit_quad(quad: Quad, to_sun: np.ndarray, sun: list, sky: list) -> Quad:
    light = skylight(quad, sky) * SKY
    slant = quad.normal @ to_sun
    if slant > 0:
        points = points_on(quad, *SUN_CELLS)
        sunny = np.mean([unblocked(quad, points, *rest) for _, *rest in sun], axis=0)
        light += stretched(slant * sunny, quad.texture.shape) * SUN
    return replace(quad, texture=np.rint((quad.texture * light).clip(0, 255)).astype(np.uint8))


def points_on(quad: Quad, spacing_m: float, most: int) -> np.ndarray:
    """Points spread over the quad, centres of the cells of its light map: [h, w, 3]."""
    across, down = (
        int(np.clip(np.ceil(np.linalg.norm(edge) / spacing_m), 2, most)) for edge in (quad.edge_u, quad.edge_v)
    )
    u, v = (np.arange(across) + 0.5) / across, (np.arange(down) + 0.5)[:, None] / down
    return quad.origin + u[..., None] * quad.edge_u + v[..., None] * quad.edge_v


def _sky_rays() -> np.ndarray:
    """Directions spread evenly over the upper half of the sphere, [16, 3]."""
    index = np.arange(16) + 0.5
    up, angle = index / 16, index * np.pi * (3 - np.sqrt(5))  # a sunflower's spiral
    sine = np.sqrt(1 - up**2)
    return np.stack([sine * np.cos(angle), sine * np.sin(angle), up], axis=1)


def _blockers(quads: list[Quad], ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What can stop the ray: the quads whose front it leaves through. A box that it crosses has one such side.

    Returns M [Q, 3, 4] with M (x, 1) = (u, v, t), the place and length at which the ray from x meets the quad's plane,
    and the quads' corners [Q, 4, 3].
    """
    leaving = [quad for quad in quads if ray @ quad.normal > 1e-9]
    systems = np.stack([np.stack([quad.edge_u, quad.edge_v, -ray], axis=1) for quad in leaving])
    inverses = np.linalg.inv(systems)
    offsets = -inverses @ np.stack([quad.origin for quad in leaving])[:, :, None]
    return np.concatenate([inverses, offsets], axis=2), np.stack([quad.corners for quad in leaving])


def _crosses(u: np.ndarray, v: np.ndarray, t: np.ndarray) -> np.ndarray:
    return (t > 1e-3) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)


def unblocked(
    quad: Quad, points: np.ndarray, blockers: np.ndarray, corners: np.ndarray, crosses: Callable = _crosses
) -> np.ndarray:
    """1 where nothing lies on the ray that starts at the point of the quad, else 0. points [h, w, 3] -> [h, w].

    blockers: [Q, 3, 4], corners: [Q, 4, 3], of what can stop the ray; ``crosses`` tells from M (x, 1), three arrays,
    whether it does.
    """
    blockers = blockers[((corners - quad.origin) @ quad.normal > 1e-6).any(axis=1)]
    rows = blockers.reshape(-1, 4)  # one product of matrices is much faster than one for each quad
    flat = points.reshape(-1, 3)
    free = np.empty(len(flat))
    for start in range(0, len(flat), CHUNK):
        met = rows[:, :3] @ flat[start : start + CHUNK].T
        met += rows[:, 3:]
        free[start : start + CHUNK] = ~crosses(met[0::3], met[1::3], met[2::3]).any(axis=0)
    return free.reshape(points.shape[:2])


def stretched(light_map: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A light map for each texel of a texture of that shape: [h, w, 1] or, of colours, [h, w, 3], float32."""
    height, width = shape[:2]
    light = resize(light_map.astype(np.float32), (width, height), interpolation=INTER_LINEAR)
    return light if light.ndim == 3 else light[..., None]
