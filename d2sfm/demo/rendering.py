"""Photographs of a scene: every ray is cast against every rectangle it can meet, so depth is exact.

For a rectangle o + u e_u + v e_v, the values u/z, v/z and 1/z are linear in the pixel (x, y): one 3 x 3 matrix for each
rectangle and camera answers everything, and the nearest surface is the one with the largest 1/z.
"""

from dataclasses import dataclass

import numpy as np

from d2sfm.demo.scene import Camera, Quad, Scene, project

TILE_PX = 64  # small enough that a tile's arrays stay in the processor's cache
EDGE_TOLERANCE = 1e-9  # in u and v, so that rounding opens no gap between rectangles that share an edge


@dataclass(frozen=True, eq=False)
class Rendering:
    """image: [H, W, 3] uint8 RGB. depth: [H, W] float64, z in the camera in metres at the pixel's centre; 0 is sky."""

    image: np.ndarray
    depth: np.ndarray


def render(scene: Scene, camera: Camera, samples: int = 2) -> Rendering:
    """What ``camera`` sees. Each pixel is the mean of samples x samples rays, evenly spread over it."""
    matrices = plane_matrices(scene, camera)
    windows = [_window(quad, camera) for quad in scene.quads]
    image = np.empty((camera.height, camera.width, 3), np.uint8)
    depth = np.empty((camera.height, camera.width))
    for top in range(0, camera.height, TILE_PX):
        for left in range(0, camera.width, TILE_PX):
            bottom, right = min(top + TILE_PX, camera.height), min(left + TILE_PX, camera.width)
            near = [
                index
                for index, (x0, y0, x1, y1) in enumerate(windows)
                if x0 <= right and x1 >= left and y0 <= bottom and y1 >= top
            ]
            x, y = _grid(left, right, 1), _grid(top, bottom, 1)
            _, inverse_depth = cast(matrices, near, x[None], y[:, None])
            tile = (slice(top, bottom), slice(left, right))
            depth[tile] = np.divide(1, inverse_depth, out=np.zeros_like(inverse_depth), where=inverse_depth > 0)
            x, y = np.meshgrid(_grid(left, right, samples), _grid(top, bottom, samples))
            colours = _shade(scene, camera, matrices, near, x, y, samples)
            colours = colours.reshape(bottom - top, samples, right - left, samples, 3).mean(axis=(1, 3))
            image[tile] = np.rint(colours)
    return Rendering(image, depth)


def photograph(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A rendered picture as a camera would deliver it: exposure off by some 4 per cent, noise of 1.5 grey values.

    image: [H, W, 3] uint8. Returns the same.
    """
    exposure = np.exp(0.04 * generator.standard_normal())
    noise = 1.5 * generator.standard_normal(image.shape, np.float32)
    return np.rint((image * np.float32(exposure) + noise).clip(0, 255)).astype(np.uint8)


def plane_matrices(scene: Scene, camera: Camera) -> np.ndarray:
    """For each rectangle the matrix M with M (x, y, 1) = (u/z, v/z, 1/z) at pixel (x, y), [Q, 3, 3].

    Rectangles that the camera sees edge on have no such matrix and get zeros: they are never hit.
    """
    pixel_from_surface = np.zeros((len(scene.quads), 3, 3))
    for matrix, quad in zip(pixel_from_surface, scene.quads, strict=True):
        origin = camera.rotation @ quad.origin + camera.translation
        edges = [camera.rotation @ quad.edge_u, camera.rotation @ quad.edge_v]
        matrix[:] = camera.calibration @ np.stack([*edges, origin], axis=1)
    matrices = np.zeros_like(pixel_from_surface)
    faced = np.linalg.cond(pixel_from_surface) < 1e12
    matrices[faced] = np.linalg.inv(pixel_from_surface[faced])
    return matrices


def _grid(start: int, stop: int, samples: int) -> np.ndarray:
    """Positions of samples along one axis, evenly spread over the pixels start..stop - 1."""
    return start + (np.arange((stop - start) * samples) + 0.5) / samples


def _window(quad: Quad, camera: Camera) -> tuple[float, float, float, float]:
    """A rectangle of pixels (left, top, right, bottom) that holds all of the quad that the camera can see."""
    pixels = project(camera, quad.corners)
    behind = np.isnan(pixels[:, 0])
    if behind.all():
        return (np.inf, np.inf, -np.inf, -np.inf)
    if behind.any():  # its image reaches infinity
        return (-np.inf, -np.inf, np.inf, np.inf)
    return (*pixels.min(axis=0), *pixels.max(axis=0))


def cast(matrices: np.ndarray, candidates, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the candidate rectangles at pixels x, y of any shapes that broadcast.

    Returns its index (-1 for none) and 1/z (0 for none).
    """
    shape = np.broadcast_shapes(x.shape, y.shape)
    nearest, nearest_index = np.zeros(shape), np.full(shape, -1, np.int32)
    for index in candidates:
        u, v, inverse_depth = (row[0] * x + (row[1] * y + row[2]) for row in matrices[index])
        margin = EDGE_TOLERANCE * inverse_depth
        reach = inverse_depth + margin
        hit = (inverse_depth > nearest) & (u >= -margin) & (v >= -margin) & (u <= reach) & (v <= reach)
        nearest[hit] = inverse_depth[hit]
        nearest_index[hit] = index
    return nearest_index, nearest


def _shade(scene, camera, matrices, candidates, x, y, samples) -> np.ndarray:
    """Colours at pixels x, y [h, w], each standing for a square of 1 / samples pixels: [h, w, 3] float32."""
    nearest, _ = cast(matrices, candidates, x, y)
    colours = np.empty((*x.shape, 3), np.float32)
    for index in np.unique(nearest):
        mask = nearest == index
        if index < 0:
            colours[mask] = _sky(scene, camera, x[mask], y[mask])
        else:
            colours[mask] = _surface(scene.quads[index], matrices[index], x[mask], y[mask], samples)
    return colours


def _sky(scene: Scene, camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], axis=1)
    rays = rays @ camera.rotation
    height = np.clip(rays[:, 2] / np.linalg.norm(rays, axis=1), 0, 1)[:, None]
    return scene.sky[0] * (1 - height) + scene.sky[1] * height


def _surface(quad: Quad, matrix: np.ndarray, x: np.ndarray, y: np.ndarray, samples: int) -> np.ndarray:
    """Colours of a rectangle at pixels x, y [N], from the mip levels that fit a sample's footprint: [N, 3] float32."""
    u, v, inverse_depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    u, v = u / inverse_depth, v / inverse_depth
    height, width = quad.texture.shape[:2]
    # Texels that one step of a sample covers along x and along y of the picture.
    along_x = np.hypot((matrix[0, 0] - u * matrix[2, 0]) * width, (matrix[1, 0] - v * matrix[2, 0]) * height)
    along_y = np.hypot((matrix[0, 1] - u * matrix[2, 1]) * width, (matrix[1, 1] - v * matrix[2, 1]) * height)
    footprint = np.maximum(along_x, along_y) / (inverse_depth * samples)
    level = np.log2(footprint).clip(0, len(quad.mip_levels) - 1)
    colours = np.zeros((len(x), 3), np.float32)
    for index in range(int(level.min()), int(np.ceil(level.max())) + 1):
        weight = 1 - np.abs(level - index)
        mask = weight > 0
        colours[mask] += weight[mask, None].astype(np.float32) * bilinear(quad.mip_levels[index], u[mask], v[mask])
    return colours


def bilinear(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Colours [N, 3] float32 of a texture at u, v [N], 0..1 from edge to edge; its outermost texels repeat beyond."""
    height, width = texture.shape[:2]
    x, y = (u * width - 0.5).clip(0, width - 1), (v * height - 0.5).clip(0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    wx, wy = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]
    texels = texture.reshape(-1, 3)
    upper = texels[top * width + left] * (1 - wx) + texels[top * width + right] * wx
    lower = texels[bottom * width + left] * (1 - wx) + texels[bottom * width + right] * wx
    return upper * (1 - wy) + lower * wy
