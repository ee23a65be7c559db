"""Sequences of pictures of planes in the layout of HPatches."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_sequence(folder: Path, views) -> Path:
    """Write ``PlaneViews``; returns the folder."""
    folder.mkdir(parents=True)
    for number, (picture, homography) in enumerate(zip(views.pictures, views.from_first, strict=True), 1):
        Image.fromarray(picture).save(folder / f"{number}.{'ppm' if number % 2 else 'png'}")
        if number > 1:
            np.savetxt(folder / f"H_1_{number}", homography)
    return folder
