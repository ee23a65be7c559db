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

from d2sfm.colmap import read_model, similarity
from d2sfm.database import MatchStore
from d2sfm.pairs.spatial import positions_m
from d2sfm.text import aligned


def distances_m(database: Path, model: pycolmap.Reconstruction) -> np.ndarray:
    """Distances in metres of the cameras that have a position, as they are printed; empty where these are too few."""
    there, centres = _positions(database, model)
    world_from_model = similarity(centres, there) if len(there) > 2 else None
    if world_from_model is None:
        return np.zeros(0)
    return np.linalg.norm([world_from_model * centre for centre in centres] - there, axis=1)


def _positions(database: Path, model: pycolmap.Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Of the images that have one: positions by GPS in metres, and centres in the model."""
    with MatchStore(database) as store:
        names = store.image_names()
        positions = {names[id_]: position for id_, position in positions_m(store.pose_priors(), False).items()}
    images = [model.images[image_id] for image_id in model.reg_image_ids()]
    images = [image for image in images if image.name in positions]
    return (
        np.array([positions[image.name] for image in images]),
        np.array([image.projection_center() for image in images]),
    )


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    arguments = parser.parse_args()
    rows = [("", "images", "extent m", "median m", "largest m")]
    for folder in arguments.models:
        model = read_model(folder)
        there, _ = _positions(arguments.database, model)
        distances = distances_m(arguments.database, model)
        if not len(distances):
            rows.append((str(folder), str(len(there)), *"---"))
            continue
        numbers = (np.linalg.norm(np.ptp(there, axis=0)), np.median(distances), np.max(distances))
        rows.append((str(folder), str(len(there)), *(f"{number:.1f}" for number in numbers)))
    print(aligned(rows))


if __name__ == "__main__":
    main()
