"""Poses of SIFT, D2 and refined D2 side by side: ``python benchmarks/accuracy.py FOLDER [OPTIONS]``.

FOLDER holds ``images/`` and, as a rule, ``ground_truth/`` (a COLMAP model); without it the poses are compared with
SIFT's model of the same seed. Prints a row for each method and seed of verification and mapping, and the medians of
several seeds: size and quality of the first model, rotation and centre errors (median and largest; centres in the
truth's unit) of the registered images, AUC of all pairs of the truth's images at thresholds in degrees (see
``evaluation.poses.pose_auc``); in the line of medians the largest of all seeds' rotation errors, too; what halves of
the points do not agree in, as rotation and direction of translation, in millidegrees, and the median and shares of the
observations' errors under the true cameras, in pixels of the photographs (both in ``exactness``); and the wall-clock
seconds of each stage; those of refinement include its own verification, those of mapping add up over starts. Cameras
and the command that maps are the same for all methods; its thresholds follow each method's own threshold of
verification (COLMAP's for SIFT), and where focal lengths are estimated, its first starts are cautious with refined
keypoints and every second one is with others. SIFT comes a second time, verified within the pixels of the photographs
that refined keypoints were. The method features is refinement without grey values.

--work DIR keeps sift.db and d2.db (features and matches) and goes on from those that are there, and from refined.db,
which then stands for all seeds: its pairs are verified again with each. Early feature maps are kept from the first seed
on, so only that one's seconds of refinement count.
"""

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from exactness import SHARES_PX, halves_mdeg, known_camera, observation_errors_px
from pages import add_update, update
from sift import extract_sift, match_sift, verify_sift

from d2sfm.database import FeatureStore
from d2sfm.evaluation.poses import compare_with_truth, pose_auc
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.matching.settings import allowed_error, typical_factor
from d2sfm.options import (
    CameraOptions,
    ExtractionOptions,
    MapCacheOptions,
    Precision,
    ReconstructionOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.photographs.reading import list_photographs
from d2sfm.refinement.refine import refine_database
from d2sfm.refinement.stages import of_alignment
from d2sfm.text import aligned

USUAL_METHODS = ("sift", "d2", "refined")
METHODS = (*USUAL_METHODS, "features")
THRESHOLDS_DEG = (1, 3, 5, 10)
CACHE_GB = 200.0
LOSS_PX = 0.25  # scale of the loss in adjustments of halves: less than a match is off
FORMATS = {"images": ".10g", "points": ".10g", "seen by 3+": ".10g", "track": ".2f", "error px": ".2f"}
FORMATS |= {"rotation deg": ".3f", "max deg": ".3f", "centre": ".4f", "max": ".4f"}
FORMATS |= {f"AUC {threshold}": ".3f" for threshold in THRESHOLDS_DEG}
WORST = {"worst seed deg": "rotation deg", "worst image deg": "max deg"}  # over the seeds
FORMATS |= dict.fromkeys(WORST, ".2f")
FORMATS |= {"halves rot": ".1f", "halves dir": ".1f", "observations px": ".3f"}
FORMATS |= {f"< {share:g} px": ".2f" for share in SHARES_PX}
FORMATS |= {f"{stage} s": ".1f" for stage in ("extract", "match", "verify", "refine", "map")} | {"starts": ".10g"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model, or none, and what it took."""

    method: str
    seed: int
    model: pycolmap.Reconstruction | None
    costs: dict[str, float]  # cells of the table


@contextmanager
def timed(costs: dict[str, float], stage: str) -> Iterator[None]:
    """Enter the wall-clock seconds of the block."""
    started = time.perf_counter()
    yield
    costs[f"{stage} s"] = time.perf_counter() - started


def mapped(method: str, seed: int, database: Path, costs: dict[str, float]) -> Run:
    """Map a database whose pairs are verified."""
    result = reconstruct(database, database.with_suffix(""), options=ReconstructionOptions(seed=seed, num_threads=1))
    model = pycolmap.Reconstruction(result.models[0]) if result.models else None
    costs = costs | {"map s": result.seconds, "starts": len(result.starts)}
    return Run(method=method, seed=seed, model=model, costs=costs)


def sift_runs(
    images: Path, scratch: Path, cameras: CameraOptions, arguments: argparse.Namespace, limits_px: dict[int, float]
) -> Iterator[Run]:
    """SIFT at full resolution, a run for each seed, and one for each that has a limit of its inliers' errors."""
    matched, shared = (arguments.work or scratch) / "sift.db", {}
    if not matched.exists():
        with timed(shared, "extract"):
            extract_sift(matched, images, cameras)
        with timed(shared, "match"):
            match_sift(matched)
    for method, limits in (("SIFT", dict.fromkeys(arguments.seeds)), ("SIFT, same threshold", limits_px)):
        for seed, limit_px in limits.items():
            verified, costs = Path(shutil.copy(matched, scratch / f"sift_{limit_px}_{seed}.db")), dict(shared)
            with timed(costs, "verify"):
                verify_sift(verified, seed, limit_px)
            yield mapped(method, seed, verified, costs)


def d2_runs(
    images: Path, scratch: Path, cameras: CameraOptions, arguments: argparse.Namespace, limits_px: dict[int, float]
) -> Iterator[Run]:
    """D2 and refined D2, as far as they are asked for, of the same matches; a run of each for each seed.

    limits_px: gets the error that verification allowed refined keypoints, by seed.
    """
    options = ExtractionOptions(max_edge=arguments.max_edge, weights=arguments.weights, precision=arguments.precision)
    folder, shared = arguments.work or scratch, {}
    matched, aligned_before = folder / "d2.db", folder / "refined.db"
    is_aligned, maps = aligned_before.exists(), MapCacheOptions(cache=folder / "maps", cache_limit=CACHE_GB)
    needs_matches = {"d2", "features"} & set(arguments.methods) or not is_aligned
    if needs_matches and not matched.exists():
        with timed(shared, "extract"):
            extract_to_database(matched, images, options=options, cameras=cameras)
        with timed(shared, "match"):
            match_database(matched, verification=None)
    for seed in arguments.seeds:
        costs, verified, refined = dict(shared), scratch / f"d2_{seed}.db", scratch / f"refined_{seed}.db"
        if needs_matches:
            shutil.copy(matched, verified)
            with timed(costs, "verify"):
                match_database(verified, verification=VerificationOptions(seed=seed))
        if "d2" in arguments.methods:
            yield mapped("D2", seed, verified, costs)
        if "features" in arguments.methods:
            by_features = Path(shutil.copy(verified, scratch / f"features_{seed}.db"))
            with timed(costs, "refine"):
                refine_database(by_features, images, options=RefinementOptions(seed=seed, grey=False), cache=maps)
            yield mapped("D2 by features", seed, by_features, dict(costs))
        if "refined" in arguments.methods:
            shutil.copy(aligned_before if is_aligned else verified, refined)
            with timed(costs, "refine"):
                refine_database(refined, images, options=aligned_alike(refined, seed), cache=maps)
            with FeatureStore(refined) as store:
                factors = store.resize_factors().values()
                limits_px[seed] = allowed_error(store).in_photographs(typical_factor(factors))
            yield mapped("D2 refined", seed, refined, costs)


def aligned_alike(database: Path, seed: int) -> RefinementOptions:
    """The options of refinement, those that a refined database was aligned with."""
    with FeatureStore(database) as store:
        noted = store.notes.refinement()
    if not noted:
        return RefinementOptions(seed=seed)
    return RefinementOptions(seed=seed, rounds=noted.get("rounds", 1), **of_alignment(noted))


def cells(run: Run, truth: pycolmap.Reconstruction | None) -> dict[str, float]:
    """The run's numbers by column. Infinite where the model is not good enough to have them, nan where none apply."""
    model = run.model or pycolmap.Reconstruction()
    size = statistics(model)
    found = {"images": size.images, "points": size.points, "seen by 3+": size.points_of_three}
    found |= {"track": size.track_length, "error px": size.error_px if size.points else math.inf}
    if size.points:
        found |= dict(zip(("halves rot", "halves dir"), halves_mdeg(model, LOSS_PX), strict=True))
    if truth is None or truth is run.model:
        return found | run.costs
    errors_px = observation_errors_px(model, truth)
    found |= {"observations px": np.median(errors_px) if len(errors_px) else math.inf}
    found |= {f"< {share:g} px": np.mean(errors_px < share) if len(errors_px) else 0.0 for share in SHARES_PX}
    found |= {f"AUC {t}": area for t, area in zip(THRESHOLDS_DEG, pose_auc(model, truth, THRESHOLDS_DEG), strict=True)}
    try:
        errors = compare_with_truth(model, truth)
    except RuntimeError:
        found |= dict.fromkeys(("rotation deg", "max deg", "centre", "max"), math.inf)
    else:
        found |= {"rotation deg": np.median(errors.rotation_deg), "max deg": errors.rotation_deg.max()}
        found |= {"centre": np.median(errors.centre), "max": errors.centre.max()}
    return found | run.costs


def table(runs: list[Run], truths: dict[int, pycolmap.Reconstruction | None]) -> list[tuple[str, ...]]:
    """A line for each run, those of a method together, with their medians below where there are several."""
    rows = [("", "seed", *FORMATS)]
    for method in dict.fromkeys(run.method for run in runs):
        members = [run for run in runs if run.method == method]
        found = [cells(run, truths[run.seed]) for run in members]
        numbers = np.array([[row.get(column, math.nan) for column in FORMATS] for row in found], dtype=float)
        labels = [str(run.seed) for run in members]
        if len(members) > 1:
            medians, columns = np.median(numbers, axis=0), list(FORMATS)
            for column, of in WORST.items():
                medians[columns.index(column)] = numbers[:, columns.index(of)].max()
            labels, numbers = [*labels, "median"], np.vstack([numbers, medians])
        for label, row in zip(labels, numbers, strict=True):
            texts = [f"{n:{f}}" if math.isfinite(n) else "-" for n, f in zip(row, FORMATS.values(), strict=True)]
            rows.append((method, label, *texts))
    return rows


def parse_arguments() -> argparse.Namespace:
    """The command line; exits where options contradict each other or the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=USUAL_METHODS, help="default: sift d2 refined")
    parser.add_argument("--known-cameras", action="store_true", help="give the ground truth's camera to the import")
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge, help="of D2; SIFT sees every pixel")
    parser.add_argument("--weights", default=ExtractionOptions.weights, help="as for d2sfm extract")
    parser.add_argument("--precision", type=Precision, default=Precision.FLOAT32, help="as for d2sfm extract")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder of databases to begin from (default: none)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    add_update(parser)
    arguments = parser.parse_args()
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
    if not (arguments.folder / "ground_truth").is_dir():
        if arguments.known_cameras:
            parser.error(f"--known-cameras needs {arguments.folder / 'ground_truth'}")
        if "sift" not in arguments.methods:
            parser.error(f"no {arguments.folder / 'ground_truth'}: poses can only be compared with --methods sift ...")
    return arguments


def main() -> None:
    """Parse, run, print."""
    arguments = parse_arguments()
    images, truth, cameras = arguments.folder / "images", None, CameraOptions()
    if (arguments.folder / "ground_truth").is_dir():
        truth = pycolmap.Reconstruction(arguments.folder / "ground_truth")
        cameras = known_camera(truth) if arguments.known_cameras else cameras
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        given, limits_px = (images, Path(scratch), cameras, arguments), {}
        if set(METHODS[1:]) & set(arguments.methods):
            runs += d2_runs(*given, limits_px)
        if "sift" in arguments.methods:
            runs += sift_runs(*given, limits_px)
    if truth is not None:
        truths, reference = dict.fromkeys(arguments.seeds, truth), "the ground truth"
    else:
        truths = {run.seed: run.model for run in runs if run.method == "SIFT"}
        reference = "SIFT's model of the same seed, as there is no ground truth"
    print(f"{arguments.folder.name}: {len(list_photographs(images))} photographs, poses compared with {reference}")
    rows = table(runs, truths)
    print(aligned(rows))
    update(arguments.update, rows)


if __name__ == "__main__":
    main()
