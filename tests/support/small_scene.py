"""Photographs of a small scene with depth: textured boards at several distances, seen by a camera that moves aside."""

from pathlib import Path

import cv2
import numpy as np
from support.helpers import textured_picture

SIZE, FOCAL_PX = (320, 240), 280.0
BOARDS = ((9.0, (-9, 9), (-7, 7)), (6.0, (-2.6, -0.4), (-2, 2)), (4.5, (0.6, 2.0), (-1.5, 1.6)))  # z, x and y, metres
TEXELS = 60  # of a board, for a metre


def write_small_scene(folder: Path, count: int = 5, step_m: float = 0.35) -> Path:
    """Write 0.png, 1.png, ... of cameras in a row that look at the scene; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    textures = [
        textured_picture(seed, (int(TEXELS * (x[1] - x[0])), int(TEXELS * (y[1] - y[0]))))
        for seed, (_, x, y) in enumerate(BOARDS)
    ]
    for number in range(count):
        centre_x = step_m * (number - (count - 1) / 2)
        picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        for (z, x, y), texture in zip(BOARDS, textures, strict=True):
            scale = FOCAL_PX / z / TEXELS
            to_image = np.array(
                [
                    [scale, 0, FOCAL_PX * (x[0] - centre_x) / z + SIZE[0] / 2],
                    [0, scale, FOCAL_PX * y[0] / z + SIZE[1] / 2],
                    [0, 0, 1.0],
                ]
            )
            board = cv2.warpPerspective(texture, to_image, SIZE, flags=cv2.INTER_AREA)
            mask = cv2.warpPerspective(np.full(texture.shape[:2], 255, np.uint8), to_image, SIZE)
            picture[mask > 127] = board[mask > 127]
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder
