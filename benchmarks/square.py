"""Photographs of the demonstration's square, as large as of today's cameras: ``python benchmarks/square.py FOLDER``.

Writes FOLDER/images and FOLDER/ground_truth, a COLMAP model of the exact cameras, as ``accuracy.py`` takes them.
"""

import argparse
from pathlib import Path

import numpy as np

from d2sfm.demo.photographs import truth_model
from d2sfm.demo.rendering import photograph, render
from d2sfm.demo.scene import arc_of_views
from d2sfm.demo.square import CENTRE, build_square
from d2sfm.models import write_model
from d2sfm.plots.canvas import save_image
from d2sfm.progress import Bar

TEXELS_PER_M = 288.0  # three times the demonstration's, which takes 4 GB of memory
ASPECT = 1.5


def main() -> None:
    """Render and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megapixels", type=float, default=24.0)
    parser.add_argument("--views", type=int, default=8)
    arguments = parser.parse_args()
    height = round((1e6 * arguments.megapixels / ASPECT) ** 0.5)
    cameras = arc_of_views(CENTRE, arguments.views, (round(ASPECT * height), height))
    (arguments.folder / "images").mkdir(parents=True)
    (arguments.folder / "ground_truth").mkdir()
    scene, generator = build_square(0, TEXELS_PER_M), np.random.default_rng(0)
    for camera in Bar(cameras, desc="render", unit="view"):
        save_image(arguments.folder / "images" / camera.name, photograph(render(scene, camera).image, generator))
    write_model(truth_model(cameras), arguments.folder / "ground_truth")


if __name__ == "__main__":
    main()
