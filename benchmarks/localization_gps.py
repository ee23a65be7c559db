"""Every third photograph of a folder localized in a model of the others, against GPS.

    python benchmarks/localization_gps.py PHOTOGRAPHS [--max-edge PX] [--seed N] [--work DIR]

All are of one camera. The others are matched, refined and mapped without these, and tell the camera; the model is then
brought to metres by their GPS, by a similarity of least squares (altitudes left out). Prints distances to GPS in
metres, of the photographs in the model and of those that were localized: GPS is some metres off itself, so the first
say what the second can be.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from d2sfm.colmap import similarity
from d2sfm.database import MatchStore
from d2sfm.exchange.remove import remove_images
from d2sfm.extraction.extract import extract_to_database
from d2sfm.localization.localizer import Localizer
from d2sfm.localization.outcome import Pose
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    ExtractionOptions,
    LocalizationOptions,
    MapCacheOptions,
    ReconstructionOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.pairs.spatial import positions_m
from d2sfm.photographs.reading import list_photographs
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned


def gps_positions(database: Path) -> dict[str, np.ndarray]:
    """Metres by name."""
    with MatchStore(database) as store:
        names = store.image_names()
        return {names[image_id]: at for image_id, at in positions_m(store.pose_priors(), False).items()}


def main() -> None:
    """Map, localize, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for the database, the maps and the model")
    arguments = parser.parse_args()
    images, names = arguments.photographs, list_photographs(arguments.photographs)
    queries, others = names[::3], len(names) - len(names[::3])
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        database, cache = work / "db.db", MapCacheOptions(cache=work / "maps", cache_limit=100)
        options, cameras = ExtractionOptions(max_edge=arguments.max_edge), CameraOptions(camera_mode=CameraMode.SINGLE)
        extract_to_database(database, images, options=options, cameras=cameras, cache=cache)
        positions = gps_positions(database)
        remove_images(database, queries)
        match_database(database, verification=VerificationOptions(seed=arguments.seed))
        refine_database(database, images, options=RefinementOptions(seed=arguments.seed), cache=cache)
        made = reconstruct(database, work / "sparse", options=ReconstructionOptions(seed=arguments.seed, num_threads=1))
        if not made.models:
            raise SystemExit(f"no model without every third photograph: {made}")
        localizer = Localizer(
            database, made.models[0], images=images, options=LocalizationOptions(seed=arguments.seed), cache=cache
        )
        model = localizer.map.model
        camera = next(iter(model.cameras.values()))
        found = {name: localizer.localize(images / name, camera) for name in queries}
    centres = {model.images[each].name: model.images[each].projection_center() for each in model.reg_image_ids()}
    both = sorted(centres.keys() & positions.keys())
    to_metres = similarity(np.array([centres[name] for name in both]), np.array([positions[name] for name in both]))
    placed = {name: np.array(each.centre) for name, each in found.items() if isinstance(each, Pose)}
    rows = [("", "photographs", "median m", "largest m")]
    for label, chosen, total in (("model", centres, others), ("localized", placed, len(queries))):
        distances = [np.linalg.norm(to_metres * chosen[name] - positions[name]) for name in sorted(chosen)]
        numbers = (f"{measure(distances):.2f}" for measure in (np.median, np.max))
        rows.append((label, f"{len(chosen)} of {total}", *numbers))
    print(aligned(rows))
    for name, each in found.items():
        print(f"not placed: {name}: {each}" if name not in placed else f"{name}: {each.inliers} keypoints agree")


if __name__ == "__main__":
    main()
