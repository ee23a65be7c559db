"""Poses against ground truth: ``python benchmarks/accuracy.py FOLDER [OPTIONS]``.

FOLDER holds ``images/`` and ``ground_truth/`` (a COLMAP model). Prints, for each seed of match and reconstruct, size
and quality of the first model, errors of its cameras in the truth's unit, and the seconds of each stage.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.extraction import extract_to_database
from d2sfm.matching import match_database
from d2sfm.models import aligned, compare_with_truth
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    ExtractionOptions,
    Precision,
    ReconstructionOptions,
    VerificationOptions,
)
from d2sfm.reconstruction import reconstruct

HEADER = ("seed", "images", "points", "seen by 3+", "track", "error px", "rotation median, max deg")
HEADER += ("centre median, max", "match s", "verify s", "starts", "map s")


def known_camera(truth: pycolmap.Reconstruction) -> CameraOptions:
    """The truth's camera, where all of its images have the same."""
    cameras = {(camera.model_name, tuple(camera.params)) for camera in truth.cameras.values()}
    if len(cameras) != 1:
        raise SystemExit(f"the ground truth has {len(cameras)} different cameras, --known-cameras needs one")
    [(model, params)] = cameras
    text = ",".join(map(str, params))
    return CameraOptions(camera_mode=CameraMode.SINGLE, camera_model=model, camera_params=text)


def row(features: Path, folder: Path, truth: pycolmap.Reconstruction, seed: int) -> tuple[str, ...]:
    """Match, verify, map and compare with one seed."""
    database = folder / f"{seed}.db"
    shutil.copy(features, database)
    matched = match_database(database, verification=VerificationOptions(seed=seed))
    result = reconstruct(database, folder / str(seed), options=ReconstructionOptions(seed=seed))
    if not result.models:
        return str(seed), *["-"] * (len(HEADER) - 1)
    model = result.statistics[0]
    errors = compare_with_truth(pycolmap.Reconstruction(result.models[0]), truth)
    return (
        str(seed),
        f"{model.images} of {result.images}",
        str(model.points),
        str(model.points_of_three),
        f"{model.track_length:.2f}",
        f"{model.error_px:.2f}",
        f"{np.median(errors.rotation_deg):.3f}, {errors.rotation_deg.max():.3f}",
        f"{np.median(errors.centre):.4f}, {errors.centre.max():.4f}",
        f"{matched.matching_s:.1f}",
        f"{matched.verification_s:.1f}",
        str(len(result.starts)),
        f"{result.seconds:.1f}",
    )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known-cameras", action="store_true", help="give the ground truth's camera to the import")
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge)
    parser.add_argument("--weights", default=ExtractionOptions.weights, help="as for d2sfm extract")
    parser.add_argument("--precision", type=Precision, default=Precision.FLOAT32, help="as for d2sfm extract")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    truth = pycolmap.Reconstruction(arguments.folder / "ground_truth")
    cameras = known_camera(truth) if arguments.known_cameras else CameraOptions()
    with tempfile.TemporaryDirectory() as scratch:
        features = Path(scratch) / "features.db"
        started = time.perf_counter()
        options = ExtractionOptions(
            max_edge=arguments.max_edge, weights=arguments.weights, precision=arguments.precision
        )
        summary = extract_to_database(features, arguments.folder / "images", options=options, cameras=cameras)
        print(f"{arguments.folder.name}: extract {time.perf_counter() - started:.1f} s, {summary.keypoints} keypoints")
        rows = [row(features, Path(scratch), truth, seed) for seed in arguments.seeds]
    print(aligned([HEADER, *rows]))


if __name__ == "__main__":
    main()
