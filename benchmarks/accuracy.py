"""Poses of SIFT, D2 and refined D2 side by side: ``python benchmarks/accuracy.py FOLDER [OPTIONS]``.

FOLDER holds ``images/`` and, as a rule, ``ground_truth/`` (a COLMAP model); without it the poses are compared with
SIFT's model of the same seed. Prints a row for each method and seed of verification and mapping, and the medians of
several seeds: size and quality of the first model, rotation and centre errors (median and largest; centres in the
truth's unit) of the registered images, AUC of all pairs of the truth's images at thresholds in degrees (see
``evaluation.poses.pose_auc``); in the line of medians the largest of all seeds' rotation errors, too; what halves of
the points do not agree in, as rotation and direction of translation, in millidegrees, and the median and shares of the
observations' errors under the true cameras, in pixels of the photographs (both in ``exactness``); medians of how far
rotations and centres are from those of SIFT's model of the same seed, which says how much of two methods' errors is the
truth's own; and the wall-clock seconds of each stage; those of refinement include its own verification, those of
mapping add up over starts. Cameras and the command that maps are the same for all methods; its thresholds follow each
method's own threshold of verification (COLMAP's for SIFT), and where focal lengths are estimated, its first starts are
cautious with refined keypoints and every second one is with others. SIFT comes a second time, verified within the
pixels of the photographs that refined keypoints were. The method features is refinement without grey values.

--work DIR keeps sift.db and d2.db (features and matches) and goes on from those that are there, and from refined.db,
which then stands for all seeds: its pairs are verified again with each. Early feature maps are kept from the first seed
on, so only that one's seconds of refinement count. With --processes seeds run side by side, and early maps are kept by
the extraction.
"""

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pycolmap
from exactness import SHARES_PX, halves_mdeg, known_camera, observation_errors_px
from pages import add_update, update
from pool import workers
from sift import extract_sift, match_sift, verify_sift

from d2sfm.database import FeatureStore
from d2sfm.evaluation.poses import compare_with_truth, pose_auc
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.matching.settings import noted_thresholds, typical_factor
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
FORMATS |= {"from SIFT deg": ".3f", "from SIFT": ".4f"}
FORMATS |= {"halves rot": ".1f", "halves dir": ".1f", "observations px": ".3f"}
FORMATS |= {f"< {share:g} px": ".2f" for share in SHARES_PX}
FORMATS |= {f"{stage} s": ".1f" for stage in ("extract", "match", "verify", "refine", "map")} | {"starts": ".10g"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model, or none, and what it took."""

    method: str
    seed: int
    folder: Path | None  # of the model
    costs: dict[str, float]  # cells of the table

    @cached_property
    def model(self) -> pycolmap.Reconstruction | None:
        return self.folder and pycolmap.Reconstruction(self.folder)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is the same for all seeds. folder: of databases without geometries; scratch: of what each seed makes."""

    images: Path
    cameras: CameraOptions
    folder: Path
    scratch: Path
    methods: tuple[str, ...]
    extraction: ExtractionOptions

    @property
    def sift(self) -> Path:
        return self.folder / "sift.db"

    @property
    def d2(self) -> Path:
        return self.folder / "d2.db"

    @property
    def refined(self) -> Path:
        """Keypoints of all seeds, where it is there."""
        return self.folder / "refined.db"

    @property
    def maps(self) -> MapCacheOptions:
        return MapCacheOptions(cache=self.folder / "maps", cache_limit=CACHE_GB)

    @property
    def needs_matches(self) -> bool:
        """Of D2, before refinement."""
        methods = set(self.methods)
        return bool({"d2", "features"} & methods) or ("refined" in methods and not self.refined.exists())


@contextmanager
def timed(costs: dict[str, float], stage: str) -> Iterator[None]:
    """Enter the wall-clock seconds of the block."""
    started = time.perf_counter()
    yield
    costs[f"{stage} s"] = time.perf_counter() - started


def matched_sift(task: Task) -> dict[str, float]:
    """SIFT at full resolution, if it is not there. Returns what it took."""
    costs: dict[str, float] = {}
    if "sift" in task.methods and not task.sift.exists():
        with timed(costs, "extract"):
            extract_sift(task.sift, task.images, task.cameras)
        with timed(costs, "match"):
            match_sift(task.sift)
    return costs


def matched_d2(task: Task, cache: MapCacheOptions | None) -> dict[str, float]:
    """D2 and its matches, if they are not there. cache: of early maps, where they are kept at once."""
    costs: dict[str, float] = {}
    if task.needs_matches and not task.d2.exists():
        with timed(costs, "extract"):
            extract_to_database(task.d2, task.images, options=task.extraction, cameras=task.cameras, cache=cache)
        with timed(costs, "match"):
            match_database(task.d2, verification=None)
    return costs


def mapped(method: str, seed: int, database: Path, costs: dict[str, float]) -> Run:
    """Map a database whose pairs are verified."""
    result = reconstruct(database, database.with_suffix(""), options=ReconstructionOptions(seed=seed, num_threads=1))
    costs = costs | {"map s": result.seconds, "starts": len(result.starts)}
    return Run(method=method, seed=seed, folder=next(iter(result.models), None), costs=costs)


def runs_of(task: Task, of_d2: dict[str, float], of_sift: dict[str, float], seed: int) -> list[Run]:
    """All methods with one seed of verification and mapping. of_d2, of_sift: seconds of what all seeds begin from."""
    runs, limit_px = d2_runs(task, of_d2, seed)
    if "sift" in task.methods:
        runs.append(sift_run(task, "SIFT", of_sift, seed, None))
        if limit_px is not None:
            runs.append(sift_run(task, "SIFT, same threshold", of_sift, seed, limit_px))
    return runs


def sift_run(task: Task, method: str, costs: dict[str, float], seed: int, limit_px: float | None) -> Run:
    """SIFT, verified with inliers' errors up to a limit (default: COLMAP's)."""
    verified, costs = Path(shutil.copy(task.sift, task.scratch / f"sift_{limit_px}_{seed}.db")), dict(costs)
    with timed(costs, "verify"):
        verify_sift(verified, seed, limit_px)
    return mapped(method, seed, verified, costs)


def d2_runs(task: Task, costs: dict[str, float], seed: int) -> tuple[list[Run], float | None]:
    """D2 and refined D2, as far as they are asked for, of the same matches.

    Also returns the error that verification allowed refined keypoints, in pixels of the photographs.
    """
    runs, limit_px, costs, scratch = [], None, dict(costs), task.scratch
    verified, refined = scratch / f"d2_{seed}.db", scratch / f"refined_{seed}.db"
    if task.needs_matches:
        shutil.copy(task.d2, verified)
        with timed(costs, "verify"):
            match_database(verified, verification=VerificationOptions(seed=seed))
    if "d2" in task.methods:
        runs.append(mapped("D2", seed, verified, costs))
    if "features" in task.methods:
        by_features, options = scratch / f"features_{seed}.db", RefinementOptions(seed=seed, grey=False)
        shutil.copy(verified, by_features)
        with timed(costs, "refine"):
            refine_database(by_features, task.images, options=options, cache=task.maps)
        runs.append(mapped("D2 by features", seed, by_features, costs))
    if "refined" in task.methods:
        shutil.copy(task.refined if task.refined.exists() else verified, refined)
        with timed(costs, "refine"):
            refine_database(refined, task.images, options=aligned_alike(refined, seed), cache=task.maps)
        with FeatureStore(refined) as store:
            noted = noted_thresholds(store)
        limit_px = noted.common.in_photographs(typical_factor(noted.factors.values()))
        runs.append(mapped("D2 refined", seed, refined, costs))
    return runs, limit_px


def aligned_alike(database: Path, seed: int) -> RefinementOptions:
    """The options of refinement, those that a refined database was aligned with."""
    with FeatureStore(database) as store:
        noted = store.notes.refinement()
    if not noted:
        return RefinementOptions(seed=seed)
    return RefinementOptions(seed=seed, rounds=noted.get("rounds", 1), **of_alignment(noted))


def cells(
    run: Run, truth: pycolmap.Reconstruction | None, sift: pycolmap.Reconstruction | None = None
) -> dict[str, float]:
    """The run's numbers by column. Infinite where the model is not good enough to have them, nan where none apply.

    sift: SIFT's model of the same seed.
    """
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
    if sift is not None and sift is not run.model:
        found |= from_sift(model, sift, truth)
    return found | run.costs


def from_sift(
    model: pycolmap.Reconstruction, sift: pycolmap.Reconstruction, truth: pycolmap.Reconstruction
) -> dict[str, float]:
    """Medians of rotation and, in the truth's unit, of centres between two models, aligned with each other."""
    try:
        unit = compare_with_truth(sift, truth).truth_from_model.scale
        apart = compare_with_truth(model, sift)
    except RuntimeError:
        return {"from SIFT deg": math.inf, "from SIFT": math.inf}
    return {"from SIFT deg": np.median(apart.rotation_deg), "from SIFT": unit * np.median(apart.centre)}


def table(runs: list[Run], truths: dict[int, pycolmap.Reconstruction | None]) -> list[tuple[str, ...]]:
    """A line for each run, those of a method together, with their medians below where there are several."""
    rows = [("", "seed", *FORMATS)]
    sift = {run.seed: run.model for run in runs if run.method == "SIFT"}
    for method in dict.fromkeys(run.method for run in runs):
        members = [run for run in runs if run.method == method]
        found = [cells(run, truths[run.seed], sift.get(run.seed)) for run in members]
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
    parser.add_argument("--processes", type=int, default=1, help="seeds at one time, each on one core")
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
    options = ExtractionOptions(max_edge=arguments.max_edge, weights=arguments.weights, precision=arguments.precision)
    with tempfile.TemporaryDirectory() as scratch:
        task = Task(
            images=images,
            cameras=cameras,
            folder=arguments.work or Path(scratch),
            scratch=Path(scratch),
            methods=tuple(arguments.methods),
            extraction=options,
        )
        several = arguments.processes > 1
        of_seed = partial(runs_of, task, matched_d2(task, task.maps if several else None), matched_sift(task))
        if several:
            with workers(arguments.processes) as pool:
                of_seeds = list(pool.map(of_seed, arguments.seeds))
        else:
            of_seeds = [of_seed(seed) for seed in arguments.seeds]
        report(arguments, truth, [run for of_one in of_seeds for run in of_one])


def report(arguments: argparse.Namespace, truth: pycolmap.Reconstruction | None, runs: list[Run]) -> None:
    """Print the table, and write it into pages."""
    images = arguments.folder / "images"
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
