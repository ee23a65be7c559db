"""Every start of mapping against the truth: does the score rank models by the error of their poses?

python benchmarks/starts.py db.db data/sacre_coeur/ground_truth --seeds 0 1 2

The database is a matched one (refined or not) and stays as it is; the truth is a COLMAP model with the same names of
images. Each seed gives a table of the starts that d2sfm reconstruct makes, best score first, then the best with lens
distortion refined (which reconstruct keeps only where it gains 1 %) and the pipeline's own run for comparison. The last
line is the errors of the first models. Rotations are mean and largest error of the registered images in degrees;
``seen`` is the share of matched keypoints that see a point.
"""

import argparse
import time
from pathlib import Path
from statistics import mean

import numpy as np
import pycolmap

from d2sfm.mapping import MappingInput, Trial, map_once, with_distortion
from d2sfm.models import ModelStatistics, aligned, compare_with_truth, score, statistics
from d2sfm.options import Mapper, ReconstructionOptions
from d2sfm.reconstruction import read_input, trials

HEADER = (
    "start",
    "images",
    "supported",
    "points",
    "seen by 3+",
    "agreement",
    "error px",
    "seen",
    "rotation",
    "largest",
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", type=int, default=ReconstructionOptions.min_starts, metavar="N")
    parser.add_argument("--mapper", type=Mapper, choices=list(Mapper), default=Mapper.INCREMENTAL)
    arguments = parser.parse_args()
    truth = pycolmap.Reconstruction(arguments.ground_truth)
    kept = [kept_of_seed(arguments, truth, seed) for seed in arguments.seeds]
    print("kept, mean rotation error in degrees:", " ".join(f"{error:.2f}" for error in kept))


def kept_of_seed(arguments: argparse.Namespace, truth: pycolmap.Reconstruction, seed: int) -> float:
    """Print the table of one seed, and return the mean rotation error of the model that the score keeps."""
    options = ReconstructionOptions(
        seed=seed, mapper=arguments.mapper, min_starts=arguments.starts, max_starts=arguments.starts
    )
    given, _, is_estimated, _ = read_input(arguments.database, options)
    observed = observed_keypoints(arguments.database, given)
    found = []
    for trial in [*trials(options, arguments.starts, is_estimated, given.is_refined), Trial(seed=seed)]:
        way = "cautious" if trial.is_cautious else "plain"
        found.append(
            one_start(
                f"{trial.seed} {way}", lambda trial=trial: best(given, trial), truth, observed, given.pixel_factor
            )
        )
    starts, plain = sorted(found[:-1], key=lambda start: start[0], reverse=True), found[-1]
    if is_estimated and arguments.mapper is Mapper.INCREMENTAL and starts[0][3] is not None:
        released = one_start(
            "distortion refined",
            lambda: with_distortion(given, starts[0][3], seed),
            truth,
            observed,
            given.pixel_factor,
        )
        starts.append(released)
    print(f"seed {seed}, {len(given.chance_pairs)} pairs by chance")
    print(aligned([(*HEADER, "s"), *(row for _, _, row, _ in [*starts, plain])]), flush=True)
    return starts[0][1]


def best(given: MappingInput, trial: Trial) -> pycolmap.Reconstruction | None:
    """The best model of a run."""
    models = map_once(given, trial, lambda: None)
    return max(models, key=lambda model: score(statistics(model, given.pixel_factor)), default=None)


def one_start(label: str, run, truth: pycolmap.Reconstruction, observed: int, pixel_factor: float):
    """(score, mean rotation error, row of the table, model) of one run; a run without model has infinite errors."""
    started = time.perf_counter()
    model = run()
    seconds = time.perf_counter() - started
    numbers = statistics(model or pycolmap.Reconstruction(), pixel_factor)
    try:
        rotation = compare_with_truth(model, truth).rotation_deg if model else np.array([np.inf])
    except RuntimeError:
        rotation = np.array([np.inf])
    return score(numbers), float(rotation.mean()), row(label, numbers, observed, rotation, seconds), model


def row(label: str, numbers: ModelStatistics, observed: int, rotation: np.ndarray, seconds: float) -> tuple[str, ...]:
    """Cells below HEADER."""
    return (
        label,
        str(numbers.images),
        str(numbers.supported),
        str(numbers.points),
        str(numbers.points_of_three),
        f"{numbers.agreement:.0f}",
        f"{numbers.error_px:.3f}",
        f"{numbers.observations / max(1, observed):.3f}",
        f"{mean(rotation):.2f}",
        f"{max(rotation):.2f}",
        f"{seconds:.1f}",
    )


def observed_keypoints(database: Path, given: MappingInput) -> int:
    """Keypoints of verified matches in pairs that chance does not explain; the share ``seen`` is of these."""
    seen: set[tuple[int, int]] = set()
    with pycolmap.Database.open(database) as colmap:
        for pair_id, geometry in zip(*colmap.read_two_view_geometries(), strict=True):
            pair = pycolmap.pair_id_to_image_pair(pair_id)
            if tuple(sorted(pair)) not in given.chance_pairs:
                for image_id, keypoints in zip(pair, np.asarray(geometry.inlier_matches).T, strict=True):
                    seen.update((image_id, int(keypoint)) for keypoint in keypoints)
    return len(seen)


if __name__ == "__main__":
    main()
