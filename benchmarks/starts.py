"""Every start of mapping against the truth: does the score rank models by the error of their poses?

python benchmarks/starts.py db.db data/sacre_coeur/ground_truth --seeds 0 1 2

The database is a matched one (refined or not) and stays as it is; the truth is a COLMAP model with the same names of
images. Each seed gives a table of the first starts of d2sfm reconstruct that give a model, best score first, then the
best with lens distortion refined (which reconstruct keeps only where it gains 1 %) and the pipeline's own run for
comparison.
Rotations are mean and largest error of the registered images in degrees; ``seen`` is the share of matched keypoints
that see a point. The last table has, for d2sfm's score and simpler ones, the mean rotation error of the start that each
would keep, beside the best start's and the mean of all.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import pycolmap
from pages import add_update, update

from d2sfm.database import MatchStore
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping.initial_pairs import initial_pairs
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options, map_once, with_distortion
from d2sfm.mapping.quality import ModelStatistics, score, statistics
from d2sfm.mapping.reconstruct import read_input
from d2sfm.mapping.starts import RUNS_A_START, names_of, trial_of
from d2sfm.options import Mapper, ReconstructionOptions
from d2sfm.text import aligned

KEPT_HEADER = ("rotation of the start that is kept, deg", "mean over seeds", "worst seed")
HEADER = ("start", "images", "supported", "points", "seen by 3+", "agreement", "error px", "seen", "rotation")
SCORES: dict[str, Callable[[ModelStatistics], tuple]] = {
    "d2sfm's score": score,
    "supported, seen by 3+, error": lambda model: (model.supported, model.points_of_three, -model.error_px),
    "images, points, error": lambda model: (model.images, model.points, -model.error_px),
    "images, error": lambda model: (model.images, -model.error_px),
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One start's best model, beside the truth."""

    label: str
    seed: int
    model: pycolmap.Reconstruction | None
    numbers: ModelStatistics
    rotation_deg: np.ndarray  # of the registered images; infinite without a model that can be aligned
    seconds: float

    @property
    def error(self) -> float:
        """Mean rotation error in degrees."""
        return float(self.rotation_deg.mean())

    def row(self, observed: int) -> tuple[str, ...]:
        """Cells below HEADER, with largest rotation and seconds."""
        numbers = self.numbers
        return (
            self.label,
            *map(str, (numbers.images, numbers.supported, numbers.points, numbers.points_of_three)),
            f"{numbers.agreement:.0f}",
            f"{numbers.error_px:.3f}",
            f"{numbers.observations / max(1, observed):.3f}",
            f"{self.error:.2f}",
            f"{self.rotation_deg.max():.2f}",
            f"{self.seconds:.1f}",
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", type=int, default=ReconstructionOptions.min_starts, metavar="N")
    parser.add_argument("--mapper", type=Mapper, choices=list(Mapper), default=Mapper.INCREMENTAL)
    add_update(parser)
    arguments = parser.parse_args()
    truth = pycolmap.Reconstruction(arguments.ground_truth)
    of_seeds = [starts_of_seed(arguments, truth, seed) for seed in arguments.seeds]
    rows = [KEPT_HEADER]
    for name, key in SCORES.items():
        rows.append(errors(name, [max(starts, key=lambda start: key(start.numbers)).error for starts in of_seeds]))
    rows.append(errors("the best start", [min(start.error for start in starts) for starts in of_seeds]))
    of_all = [start.error for starts in of_seeds for start in starts]
    rows.append(errors("any start that can be aligned", [error for error in of_all if np.isfinite(error)]))
    print(aligned(rows))
    update(arguments.update, rows)


def errors(label: str, found: list[float]) -> tuple[str, str, str]:
    """A row of the last table."""
    return label, f"{mean(found):.2f}", f"{max(found):.2f}"


def starts_of_seed(arguments: argparse.Namespace, truth: pycolmap.Reconstruction, seed: int) -> list[Result]:
    """Print the table of one seed, and return its starts, best score first."""
    options = ReconstructionOptions(
        seed=seed, mapper=arguments.mapper, min_starts=arguments.starts, max_starts=arguments.starts, num_threads=1
    )
    given = read_input(arguments.database, options)
    observed = observed_keypoints(arguments.database, given)
    with MatchStore(arguments.database) as store:
        limits = incremental_options(given, Trial(seed=0)).mapper
        pairs = initial_pairs(store, limits, given.left_out, most=RUNS_A_START * arguments.starts)
    starts: list[Result] = []
    for number in range(max(arguments.starts, 1 + len(pairs))):
        trial = trial_of(number, seed, given.is_estimated or given.is_refined, given.is_refined, pairs)
        label = " and ".join(names_of(given, trial)) or "its own choice"
        label = f"{trial.seed} {'cautious' if trial.is_cautious else 'plain'}, {label}"
        start = measured(label, trial.seed, lambda trial=trial: best(given, trial), truth, given)
        if start.model is not None and len(starts) < arguments.starts:
            starts.append(start)
    plain = measured(f"{seed} plain, its own choice", seed, lambda: best(given, Trial(seed=seed)), truth, given)
    starts.sort(key=lambda start: score(start.numbers), reverse=True)
    shown = [*starts]
    if given.is_estimated and arguments.mapper is Mapper.INCREMENTAL and starts[0].model is not None:
        released = measured(
            "distortion refined",
            starts[0].seed,
            lambda: with_distortion(given, starts[0].model, starts[0].seed),
            truth,
            given,
        )
        shown.append(released)
    print(f"seed {seed}, {len(given.left_out)} pairs left out")
    print(aligned([(*HEADER, "largest", "s"), *(start.row(observed) for start in [*shown, plain])]), flush=True)
    return starts


def best(given: MappingInput, trial: Trial) -> pycolmap.Reconstruction | None:
    """The best model of a run."""
    models = map_once(given, trial, lambda images: None)
    return max(models, key=lambda model: score(statistics(model, given.pixel_factor)), default=None)


def measured(
    label: str,
    seed: int,
    run: Callable[[], pycolmap.Reconstruction | None],
    truth: pycolmap.Reconstruction,
    given: MappingInput,
) -> Result:
    """The outcome of one run."""
    started = time.perf_counter()
    model = run()
    seconds = time.perf_counter() - started
    rotation = np.array([np.inf])
    try:
        if model is not None:
            rotation = compare_with_truth(model, truth).rotation_deg
    except RuntimeError as error:
        print(f"{label}: {error}")
    numbers = statistics(model or pycolmap.Reconstruction(), given.pixel_factor)
    return Result(label=label, seed=seed, model=model, numbers=numbers, rotation_deg=rotation, seconds=seconds)


def observed_keypoints(database: Path, given: MappingInput) -> int:
    """Keypoints of verified matches of the pairs that are mapped; the share ``seen`` is of these."""
    seen: set[tuple[int, int]] = set()
    with pycolmap.Database.open(database) as colmap:
        for pair_id, geometry in zip(*colmap.read_two_view_geometries(), strict=True):
            if pair_id not in given.left_out:
                pair = pycolmap.pair_id_to_image_pair(pair_id)
                for image_id, keypoints in zip(pair, np.asarray(geometry.inlier_matches).T, strict=True):
                    seen.update((image_id, int(keypoint)) for keypoint in keypoints)
    return len(seen)


if __name__ == "__main__":
    main()
