"""Every second photograph of a folder, by name, as if it had been taken by night: ``python benchmarks/night_like.py
FOLDER OUTPUT``. The others are copied.

The picture is taken for what surfaces reflect. Light is a little blue from everywhere, and warm from lamps at random
places, which falls off with the distance in the picture; the camera is the one of ``d2sfm demo --night``: exposure,
glare, blur, the noise of electrons. Shadows stay those of the day, which a real night has not. The recipe was fixed
before anything was run on its pictures.
"""

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np

from d2sfm.demo.exposure import encoded, linear, photograph_by_night
from d2sfm.photographs.reading import list_photographs

AMBIENT = np.array([0.010, 0.014, 0.026])  # RGB, of daylight
WARM = np.array([1.0, 0.72, 0.40])
LAMPS, BRIGHTNESS, REACH = 14, (0.5, 3.0), (0.02, 0.09)  # reach in widths of the picture: a quarter is left there
HEIGHTS = (0.3, 0.95)  # where lamps are, in heights from the top


def night_like(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A picture, uint8 [H, W, 3] RGB, by night, the same shape and type."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / width)
    light = np.broadcast_to(AMBIENT, picture.shape).copy()
    for _ in range(LAMPS):
        at = generator.uniform(0, 1), generator.uniform(*HEIGHTS) * height / width
        brightness, reach = generator.uniform(*BRIGHTNESS), generator.uniform(*REACH)
        falloff = brightness / (1 + ((x - at[0]) ** 2 + (y - at[1]) ** 2) / reach**2) ** 2
        light += falloff[..., None] * WARM
    seen = encoded(linear(picture) * light)
    return photograph_by_night(np.rint(seen).astype(np.uint8), generator)


def write_night_like(source: Path, target: Path, seed: int = 0) -> list[str]:
    """Write the folder, and return the names of those by night. Pictures as JPEG keep their name and quality of 95."""
    names, generator = list_photographs(source), np.random.default_rng(seed)
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
    for name in names[0::2]:
        shutil.copy(source / name, target / name)
    for name in names[1::2]:
        picture = cv2.cvtColor(cv2.imread(str(source / name)), cv2.COLOR_BGR2RGB)
        dark = cv2.cvtColor(night_like(picture, generator), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(target / name), dark, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return names[1::2]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of photographs")
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dark = write_night_like(arguments.folder, arguments.output, arguments.seed)
    print(f"by night: {', '.join(dark)}")


if __name__ == "__main__":
    main()
