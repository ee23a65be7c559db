"""Sun, sky and shadows, worked out once for a scene and painted into its textures: light is the same in all views."""

from dataclasses import replace

import numpy as np
from cv2 import INTER_LINEAR, resize

from d2sfm.demo.scene import Quad

SUN = np.array([0.95, 0.89, 0.76], np.float32)  # RGB, what a surface that faces the sun gets
SKY = np.array([0.50, 0.54, 0.61], np.float32)  # RGB, what a surface in the shade gets under the open sky
SUN_RADIUS = 0.012  # as a tangent; larger than the real one's 0.005, for soft edges of shadows
SHADOW_SPACING_M, SKY_SPACING_M = 0.12, 0.5  # cells of the light maps
MOST_CELLS = 240  # along an edge of a light map
CHUNK = 500  # points that are tested together, so that the arrays stay small


def lit(quads: list[Quad], to_sun: np.ndarray) -> list[Quad]:
    """The quads with light in their textures; ``to_sun`` [3] points at the sun. Sides that face away get none of it."""
    to_sun = np.asarray(to_sun, np.float64) / np.linalg.norm(to_sun)
    disc = [to_sun + SUN_RADIUS * np.array(offset) for offset in ((1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1))]
    sun, sky = ([(ray, _surface_from_world(quads, ray)) for ray in rays] for rays in (disc, _sky_rays()))
    corners = np.stack([quad.corners for quad in quads])
    return [_lit_quad(quad, corners, to_sun, sun, sky) for quad in quads]


def _lit_quad(quad: Quad, corners: np.ndarray, to_sun: np.ndarray, sun: list, sky: list) -> Quad:
    height, width = quad.texture.shape[:2]
    in_front = ((corners - quad.origin) @ quad.normal > 1e-6).any(axis=1)
    # A ray of the sky counts with the cosine of its angle to the surface (Lambert's law).
    rays = [(max(0.0, ray @ quad.normal), matrices) for ray, matrices in sky]
    points = _points(quad, SKY_SPACING_M)
    free = sum(weight * _free(points, matrices[in_front]) for weight, matrices in rays if weight > 0)
    share = 0.25 + 0.75 * free / sum(weight for weight, _ in rays)  # other walls give some light back
    light = _stretched(share, width, height) * SKY
    slant = quad.normal @ to_sun
    if slant > 0:
        points = _points(quad, SHADOW_SPACING_M)
        sunny = np.mean([_free(points, matrices[in_front]) for _, matrices in sun], axis=0)
        light += _stretched(slant * sunny, width, height) * SUN
    return replace(quad, texture=np.rint((quad.texture * light).clip(0, 255)).astype(np.uint8))


def _points(quad: Quad, spacing_m: float) -> np.ndarray:
    """Points spread over the quad, centres of the cells of its light map: [h, w, 3]."""
    across, down = (
        int(np.clip(np.ceil(np.linalg.norm(edge) / spacing_m), 2, MOST_CELLS)) for edge in (quad.edge_u, quad.edge_v)
    )
    u, v = (np.arange(across) + 0.5) / across, (np.arange(down) + 0.5)[:, None] / down
    return quad.origin + u[..., None] * quad.edge_u + v[..., None] * quad.edge_v


def _sky_rays() -> np.ndarray:
    """Directions spread evenly over the upper half of the sphere, [24, 3]."""
    index = np.arange(24) + 0.5
    up, angle = index / 24, index * np.pi * (3 - np.sqrt(5))  # a sunflower's spiral
    sine = np.sqrt(1 - up**2)
    return np.stack([sine * np.cos(angle), sine * np.sin(angle), up], axis=1)


def _surface_from_world(quads: list[Quad], ray: np.ndarray) -> np.ndarray:
    """M [Q, 3, 4] with M (x, 1) = (u, v, t), x + t ray being on the quad's plane; zeros where the ray runs along it."""
    matrices = np.zeros((len(quads), 3, 4))
    for matrix, quad in zip(matrices, quads, strict=True):
        system = np.stack([quad.edge_u, quad.edge_v, -ray], axis=1)
        if abs(ray @ quad.normal) > 1e-9:
            matrix[:, :3] = np.linalg.inv(system)
            matrix[:, 3] = -matrix[:, :3] @ quad.origin
    return matrices


def _free(points: np.ndarray, surface_from_world: np.ndarray) -> np.ndarray:
    """1 where nothing lies on the ray that starts at the point, else 0. points [h, w, 3] -> [h, w]."""
    flat = points.reshape(-1, 3)
    free = np.empty(len(flat))
    for start in range(0, len(flat), CHUNK):
        chunk = flat[start : start + CHUNK].T
        u, v, t = np.moveaxis(surface_from_world[:, :, :3] @ chunk + surface_from_world[:, :, 3:], 1, 0)
        free[start : start + CHUNK] = ~((t > 1e-3) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)).any(axis=0)
    return free.reshape(points.shape[:2])


def _stretched(light_map: np.ndarray, width: int, height: int) -> np.ndarray:
    return resize(light_map.astype(np.float32), (width, height), interpolation=INTER_LINEAR)[..., None]
