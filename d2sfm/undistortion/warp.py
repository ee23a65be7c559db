"""The pixels that a PINHOLE camera sees, resampled from a camera with distortion at the same place."""

import cv2
import numpy as np
import pycolmap

from d2sfm.undistortion.cameras import keeps_pixels

NODE_PX = 4  # between the pixels whose places are computed; those of the others lie between them
TILE_PX = 1024  # multiple of it; small pieces, as OpenCV takes no edge above 32767 px
EDGE_PX = 0.5  # so far beyond the edge, the edge is seen
FAR_PX = 16 * NODE_PX  # beyond the edge, where no pixel is next to one that is seen


def undistorted(
    pixels: np.ndarray, mask: np.ndarray | None, source: pycolmap.Camera, target: pycolmap.Camera
) -> tuple[np.ndarray, np.ndarray | None]:
    """What ``target``, a PINHOLE camera, sees of a photograph of ``source``, bilinear; smoothed where it is smaller.

    pixels: [H, W, 3] uint8; mask: [H, W] bool, the pixels to use, or None for all. Returns [h, w, 3] uint8, black
    outside of the photograph, and its mask: out are pixels outside, and those made from a pixel that is out; None if
    all are in.
    """
    if keeps_pixels(source, target):
        return pixels, mask
    if mask is None and not _sees_all(source, target):
        mask = np.ones(pixels.shape[:2], bool)
    if mask is not None:
        mask = _warped(np.where(mask, np.uint8(255), np.uint8(0)), source, target) == 255
        mask = None if mask.all() else mask
    return _warped(pixels, source, target), mask


def _warped(pixels: np.ndarray, source: pycolmap.Camera, target: pycolmap.Camera) -> np.ndarray:
    """Pixels of the target, [h, w, ...] uint8, out of the source's, [H, W, ...]; 0 beyond."""
    size = np.array([source.width, source.height])
    focals = np.divide([target.focal_length_x, target.focal_length_y], [source.focal_length_x, source.focal_length_y])
    reduced = np.maximum(np.rint(size * np.minimum(focals, 1)), 1).astype(int)
    if (reduced != size).any():
        pixels = cv2.resize(pixels, reduced.tolist(), interpolation=cv2.INTER_AREA)
    result = np.zeros((target.height, target.width, *pixels.shape[2:]), np.uint8)
    for top in range(0, target.height, TILE_PX):
        for left in range(0, target.width, TILE_PX):
            tile = result[top : top + TILE_PX, left : left + TILE_PX]
            nodes = _nodes(source, target, (left, top), tile.shape[1::-1]) * (reduced / size)
            _fill(tile, pixels, nodes)
    return result


def _nodes(source: pycolmap.Camera, target: pycolmap.Camera, corner: tuple, size: tuple) -> np.ndarray:
    """Where every NODE_PX-th pixel of a tile lies in the source, [rows, columns, 2] float64; NaN for nowhere."""
    x, y = (0.5 + NODE_PX * np.arange((edge - 1) // NODE_PX + 2) for edge in size)
    return _source_from_target(source, target, *np.meshgrid(corner[0] + x, corner[1] + y))


def _source_from_target(source: pycolmap.Camera, target: pycolmap.Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Positions [..., 2] in the source of positions x and y, [...], in the target; COLMAP's frame of pixels."""
    fx, fy, cx, cy = target.params
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(x.shape)], axis=-1)
    return np.reshape(source.img_from_cam(rays.reshape(-1, 3)), (*x.shape, 2))


def _fill(tile: np.ndarray, pixels: np.ndarray, nodes: np.ndarray) -> None:
    """Sample a tile at positions in ``pixels``, COLMAP's frame, given for every NODE_PX-th pixel."""
    if np.isnan(nodes).all():
        return
    edges = np.array(pixels.shape[1::-1])
    nodes = nodes.clip(-FAR_PX, edges + FAR_PX)
    low = (np.floor(np.nanmin(nodes, axis=(0, 1))) - 2).clip(0, edges - 1).astype(int)
    high = (np.ceil(np.nanmax(nodes, axis=(0, 1))) + 2).clip(low + 1, edges).astype(int)
    rows, columns = (np.arange(edge, dtype=np.float32) / NODE_PX for edge in tile.shape[:2])
    # OpenCV counts from pixel centres. NaN spreads to all pixels next to its node.
    positions = cv2.remap((nodes - low - 0.5).astype(np.float32), *np.meshgrid(columns, rows), cv2.INTER_LINEAR)
    positions = np.nan_to_num(positions, nan=-FAR_PX - edges.max())
    window = pixels[low[1] : high[1], low[0] : high[0]]
    tile[:] = cv2.remap(window, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    beyond = (positions < -0.5 - EDGE_PX - low) | (positions > edges - 0.5 + EDGE_PX - low)
    tile[beyond.any(axis=2)] = 0


def _sees_all(source: pycolmap.Camera, target: pycolmap.Camera) -> bool:
    """Whether the source covers all that the target sees, by the target's outermost pixels."""
    x, y = np.meshgrid(np.arange(target.width) + 0.5, [0.5, target.height - 0.5])
    columns, rows = np.meshgrid([0.5, target.width - 0.5], np.arange(target.height) + 0.5)
    outermost = np.concatenate([x.ravel(), columns.ravel()]), np.concatenate([y.ravel(), rows.ravel()])
    found = _source_from_target(source, target, *outermost)
    edges = np.array([source.width, source.height])
    return bool(((found >= -EDGE_PX) & (found <= edges + EDGE_PX)).all())
