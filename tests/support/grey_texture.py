"""Photographs of one endless smooth pattern whose correspondences are known exactly."""

import numpy as np


def pattern(xy: np.ndarray, seed: int = 0, shortest_px: float = 7.0) -> np.ndarray:
    """Grey values of the pattern at places [..., 2], within 0 to 255: waves of 7 to 40 px in all directions."""
    random = np.random.default_rng(seed)
    length, angle = random.uniform(shortest_px, 40, 40), random.uniform(0, 2 * np.pi, 40)
    waves = 2 * np.pi / length * np.stack([np.cos(angle), np.sin(angle)])
    values = np.cos(xy @ waves + random.uniform(0, 2 * np.pi, 40)).sum(axis=-1)
    return np.clip(128 + 10 * values, 0, 255)


def photograph(size, pattern_from_image=None, contrast=1.0, brightness=0.0, seed=0) -> np.ndarray:
    """uint8 [H, W, 3]. pattern_from_image: [2, 3], where in the pattern pixels (COLMAP's frame) show it."""
    width, height = size
    xy = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    values = contrast * pattern(xy if pattern_from_image is None else apply(pattern_from_image, xy), seed) + brightness
    return np.repeat(np.rint(np.clip(values, 0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def apply(affine: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Places under an affine map [2, 3]."""
    return xy @ affine[:, :2].T + affine[:, 2]


def inverse(affine: np.ndarray) -> np.ndarray:
    """[2, 3]"""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])
