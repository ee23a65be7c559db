"""What all pictures share: positions for OpenCV, and the file.

Images are [H, W, 3] uint8 RGB; positions are in the *image* frame (centre of the top-left pixel at (0.5, 0.5)).
"""

from pathlib import Path

import cv2
import numpy as np

from d2sfm.files import replacing
from d2sfm.parts import require_folder

FAINTEST, BRIGHTEST = 76, 240  # of the colour map's 256: what is seen on dark photographs and on white
SHIFT = 4  # OpenCV's fixed-point coordinates have this many binary places


def save_image(path: Path | str, image: np.ndarray) -> None:
    """Write a picture as PNG, at once: the file is the old one or the new one, never a part.

    image: [H, W, 3] uint8 RGB. Raises ValueError for another kind of array or suffix, FileNotFoundError if the folder
    is missing.
    """
    path = require_png(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture is [H, W, 3] uint8, found {image.shape} {image.dtype}")
    with replacing(path) as stream:
        stream.write(png(image))


def require_png(path: Path | str) -> Path:
    """The path. ValueError if its suffix is not that of a PNG, FileNotFoundError if its folder is missing."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as .png, found {path.name}")
    require_folder(path)
    return path


def png(image: np.ndarray) -> bytes:
    """A picture, [H, W, 3] uint8 RGB, as the bytes of a PNG file."""
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()


def fixed(xy, zoom: float = 1) -> tuple[int, int]:
    """OpenCV's fixed-point coordinates of a position in the image frame: OpenCV counts from pixel centres."""
    return tuple(round((float(value) * zoom - 0.5) * 2**SHIFT) for value in xy)


def sequence(shares: np.ndarray) -> np.ndarray:
    """Colours of numbers from 0, violet, to 1, yellow, [N] to [N, 3] uint8 RGB."""
    colours = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_PLASMA)[0, :, ::-1]
    return colours[np.rint(FAINTEST + (BRIGHTEST - FAINTEST) * np.clip(shares, 0, 1)).astype(np.uint8)]


def limited(image: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a longer edge of ``longest`` pixels, and how many of these one of its own is, [2] of x and y."""
    size = np.array(image.shape[1::-1])
    new = np.maximum(np.rint(size * (longest / size.max())), 1).astype(int)
    way = cv2.INTER_AREA if longest < size.max() else cv2.INTER_CUBIC
    return cv2.resize(image, new.tolist(), interpolation=way), new / size
