"""How far the cameras of models are from where the photographs' GPS says that they were.

    python benchmarks/gps.py DATABASE MODEL [MODEL ...]

DATABASE holds the positions (``d2sfm extract`` took them from EXIF). Prints, for each model, its images with a
position, the extent of these positions, and the median and largest distance in metres after the similarity transform
of least squares, altitudes left out; dashes where these are too few or on one line. GPS itself is some metres off.
"""

import argparse
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.database import MatchStore
from d2sfm.pairs.spatial import positions_m
from d2sfm.text import aligned


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    arguments = parser.parse_args()
    with MatchStore(arguments.database) as store:
        names = store.image_names()
        positions = {names[id_]: position for id_, position in positions_m(store.pose_priors(), False).items()}
    rows = [("", "images", "extent m", "median m", "largest m")]
    for folder in arguments.models:
        model = read_model(folder)
        images = [model.images[image_id] for image_id in model.reg_image_ids()]
        images = [image for image in images if image.name in positions]
        there = np.array([positions[image.name] for image in images])
        centres = np.array([image.projection_center() for image in images])
        world_from_model = pycolmap.estimate_sim3d(centres, there) if len(images) > 2 else None
        if world_from_model is None:
            rows.append((str(folder), str(len(images)), *"---"))
            continue
        distances = np.linalg.norm([world_from_model * centre for centre in centres] - there, axis=1)
        numbers = (np.linalg.norm(np.ptp(there, axis=0)), np.median(distances), np.max(distances))
        rows.append((str(folder), str(len(images)), *(f"{number:.1f}" for number in numbers)))
    print(aligned(rows))


if __name__ == "__main__":
    main()
