"""Time against errors for sizes of the network's input: ``python benchmarks/frontier.py FOLDER --max-edge 640 1024``.

FOLDER holds ``images/`` and, where errors are to be had, ``ground_truth/`` (a COLMAP model); without it the columns of
errors are distances to GPS positions in metres. Prints a row for each size, number of rounds of refinement and seed (of
verification and mapping), and medians over the seeds: images of the first model, points, rotation errors (median and
largest over the images, degrees), centre errors (the same, in the truth's unit), and CPU seconds of each stage.

--keep DIR keeps features (NAME_SIZE.db) and early feature maps; what is there is not computed again, and its seconds
are not known, a dash. Maps are kept from the first seed, whose seconds of refinement stand for all in the medians.
"""

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pycolmap
from exactness import known_camera
from gps import distances_m
from pages import add_update, update

from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraOptions,
    ExtractionOptions,
    MapCacheOptions,
    Precision,
    ReconstructionOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

STAGES = ("extract", "match", "refine", "map")
ERRORS = ("rotation", "max", "centre", "max centre")
COLUMNS = ("images", "points", *ERRORS, *STAGES)
HEADER = ("longest edge, px", "rounds", "seed", *COLUMNS)
SUM_OF_EDGES = 1.75  # over the longest edge, as 2800 px are over 1600


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Enter the CPU seconds of the block, of all threads."""
    started = time.process_time()
    yield
    seconds[stage] = time.process_time() - started


def errors(database: Path, model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction | None) -> dict[str, float]:
    """Errors of the model's poses; infinite where it is too small to have them."""
    if truth is None:
        found = distances_m(database, model)
        centre = [np.median(found), np.max(found)] if len(found) else [math.inf] * 2
        return dict(zip(ERRORS, [math.nan, math.nan, *centre], strict=True))
    try:
        found = compare_with_truth(model, truth)
    except RuntimeError:
        return dict.fromkeys(ERRORS, math.inf)
    values = (found.rotation_deg, found.centre)
    return dict(zip(ERRORS, [f(each) for each in values for f in (np.median, np.max)], strict=True))


def runs(folder: Path, keep: Path, edge: int, rounds: int, arguments: argparse.Namespace) -> Iterator[dict[str, float]]:
    """The numbers of each seed, of one size and number of rounds."""
    images, truth, cameras = folder / "images", None, CameraOptions()
    if (folder / "ground_truth").is_dir():
        truth = pycolmap.Reconstruction(folder / "ground_truth")
        cameras = known_camera(truth) if arguments.known_cameras else cameras
    features, shared = keep / f"{folder.name}_{edge}.db", {}
    if not features.exists():
        sizes = {"max_edge": edge, "max_sum_edges": int(SUM_OF_EDGES * edge)}
        with timed(shared, "extract"):
            options = ExtractionOptions(precision=arguments.precision, **sizes)
            extract_to_database(features, images, options=options, cameras=cameras)
    with tempfile.TemporaryDirectory(dir=keep) as scratch:
        for seed in arguments.seeds:
            database, seconds = Path(shutil.copy(features, Path(scratch, f"{seed}.db"))), dict(shared)
            with timed(seconds, "match"):
                match_database(database, verification=VerificationOptions(seed=seed))
            with timed(seconds, "refine"):
                refinement, cache = RefinementOptions(seed=seed, rounds=rounds), MapCacheOptions(cache=keep / "maps")
                refine_database(database, images, options=refinement, cache=cache)
            with timed(seconds, "map"):
                options = ReconstructionOptions(seed=seed, time_budget=arguments.time_budget)
                result = reconstruct(database, Path(scratch, f"{seed}"), images=images, options=options)
            model = pycolmap.Reconstruction(result.models[0]) if result.models else pycolmap.Reconstruction()
            size = statistics(model)
            yield {"images": size.images, "points": size.points} | errors(database, model, truth) | seconds


def row(edge: int, rounds: int, seed: int | str, found: dict[str, float]) -> tuple[str, ...]:
    """Cells of the table."""
    numbers = [found.get(column, math.nan) for column in COLUMNS]
    formats = ("g", "g", ".3f", ".3f", ".4f", ".4f", ".0f", ".0f", ".0f", ".0f")
    return (
        str(edge),
        str(rounds),
        str(seed),
        *(f"{n:{f}}" if math.isfinite(n) else "-" for n, f in zip(numbers, formats, strict=True)),
    )


def main() -> None:
    """Parse, run, print each row as it comes and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-edge", type=int, nargs="+", default=[640, 1024, 1600])
    parser.add_argument("--rounds", type=int, nargs="+", default=[1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precision", type=Precision, default=ExtractionOptions.precision)
    parser.add_argument("--known-cameras", action="store_true", help="give the ground truth's camera to the import")
    parser.add_argument("--time-budget", type=float, default=ReconstructionOptions.time_budget)
    parser.add_argument("--keep", type=Path, help="folder of features and maps (default: removed at the end)")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    with tempfile.TemporaryDirectory() as scratch:
        keep = arguments.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        for edge in arguments.max_edge:
            for rounds in arguments.rounds:
                found = []
                for seed, numbers in zip(
                    arguments.seeds, runs(arguments.folder, keep, edge, rounds, arguments), strict=True
                ):
                    found.append(numbers)
                    rows.append(row(edge, rounds, seed, numbers))
                    print("  ".join(rows[-1]), flush=True)
                values = np.array([[each.get(column, math.nan) for column in COLUMNS] for each in found], dtype=float)
                medians = dict(zip(COLUMNS, np.median(values, axis=0), strict=True))
                medians["refine"] = found[0]["refine"]
                rows.append(row(edge, rounds, "median", medians))
    print(aligned(rows))
    update(arguments.update, rows)


if __name__ == "__main__":
    main()
