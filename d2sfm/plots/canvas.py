"""What all pictures share: positions for OpenCV, and the file.

Images are [H, W, 3] uint8 RGB; positions are in the *image* frame (centre of the top-left pixel at (0.5, 0.5)).
"""

from pathlib import Path

import cv2
import numpy as np

from d2sfm.files import replacing

SHIFT = 4  # OpenCV's fixed-point coordinates have this many binary places


def save_image(path: Path | str, image: np.ndarray) -> None:
    """Write a picture as PNG, at once: the file is the old one or the new one, never a part.

    image: [H, W, 3] uint8 RGB. Raises ValueError for another kind of array or suffix, FileNotFoundError where the
    folder is missing.
    """
    path = Path(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture is [H, W, 3] uint8, found {image.shape} {image.dtype}")
    if path.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as .png, found {path.name}")
    with replacing(path) as stream:
        stream.write(cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes())


def fixed(xy, zoom: float = 1) -> tuple[int, int]:
    """OpenCV's fixed-point coordinates of a position in the image frame: OpenCV counts from pixel centres."""
    return tuple(round((float(value) * zoom - 0.5) * 2**SHIFT) for value in xy)
