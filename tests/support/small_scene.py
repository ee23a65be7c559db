"""Photographs of a small scene with depth: textured boards at several distances, seen by a camera that moves aside."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from support.helpers import textured_picture

SIZE, FOCAL_PX = (320, 240), 280.0
BOARDS = ((9.0, (-9, 9), (-7, 7)), (6.0, (-2.6, -0.4), (-2, 2)), (4.5, (0.6, 2.0), (-1.5, 1.6)))  # z, x and y, metres
TEXELS = 60  # of a board, for a metre


def write_small_scene(folder: Path, count: int = 5, step_m: float = 0.35) -> Path:
    """Write 0.png, 1.png, ... of cameras in a row that look at the scene; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        aside = pycolmap.Rigid3d(pycolmap.Rotation3d(), [step_m * ((count - 1) / 2 - number), 0, 0])
        cv2.imwrite(str(folder / f"{number}.png"), draw_small_scene(aside))
    return folder


def draw_small_scene(cam_from_world: pycolmap.Rigid3d) -> np.ndarray:
    """What a camera sees of the scene, [H, W, 3] uint8."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    intrinsics = np.array([[FOCAL_PX, 0, SIZE[0] / 2], [0, FOCAL_PX, SIZE[1] / 2], [0, 0, 1]])
    for seed, (z, x, y) in enumerate(BOARDS):
        texture = _texture(seed)
        world_from_texel = np.array([[1 / TEXELS, 0, x[0]], [0, 1 / TEXELS, y[0]], [0, 0, z], [0, 0, 1]])
        to_image = intrinsics @ cam_from_world.matrix() @ world_from_texel
        to_image /= to_image[2, 2]
        board = cv2.warpPerspective(texture, to_image, SIZE, flags=cv2.INTER_AREA)
        mask = cv2.warpPerspective(np.full(texture.shape[:2], 255, np.uint8), to_image, SIZE)
        picture[mask > 127] = board[mask > 127]
    return picture


@cache
def _texture(seed: int) -> np.ndarray:
    _, x, y = BOARDS[seed]
    return textured_picture(seed, (int(TEXELS * (x[1] - x[0])), int(TEXELS * (y[1] - y[0]))))
