"""Starts of mapping: which are made, and the one whose model is kept."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count

import pycolmap
from tqdm import tqdm

from d2sfm.database import MatchStore
from d2sfm.mapping.initial_pairs import initial_pairs
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options, map_once, with_distortion
from d2sfm.mapping.quality import ModelStatistics, score, statistics
from d2sfm.options import Mapper, ReconstructionOptions

MIN_GAIN = 0.01  # of a camera for each image: where there was no distortion, that of 10 photographs gained 0.2 %
FRUITLESS = 4  # further starts with known cameras, one after the other
MOST_SECONDS = 1 << 30  # that pycolmap is told
RUNS_A_START = 3  # most initial pairs give no model, and are done in a second


@dataclass(frozen=True, kw_only=True)
class Start:
    """One mapping run: its seed, the statistics of its best model (None without any), and its seconds.

    way: how it was made, "" for the pipeline's own; see ``mapping.Trial`` and ``mapping.with_distortion``.
    initial: names of the images that it was to begin with; empty where the pipeline chose them.
    """

    seed: int
    way: str = ""
    initial: tuple[str, ...] = ()
    best: ModelStatistics | None
    seconds: float

    @property
    def label(self) -> str:
        """Seed, way, and first images."""
        parts = (f"seed {self.seed}", self.way, " and ".join(self.initial))
        return ", ".join(part for part in parts if part)


@dataclass(kw_only=True)
class Outcome:
    """All starts, the one that is kept, and its models, best first; the earliest of equals is kept."""

    starts: list[Start] = field(default_factory=list)
    kept: Start | None = None
    models: list[pycolmap.Reconstruction] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Starts that gave a model."""
        return sum(start.best is not None for start in self.starts)

    def add(self, start: Start, models: list[pycolmap.Reconstruction]) -> bool:
        """Enter a start with its models, best first. Returns whether it is now the one that is kept."""
        self.starts.append(start)
        is_better = bool(models) and (self.kept is None or score(start.best) > score(self.kept.best))
        if is_better:
            self.kept, self.models = start, models
        return is_better


def best_of_starts(
    given: MappingInput,
    options: ReconstructionOptions,
    *,
    names: dict[int, str],
    connected: int,
    is_estimated: bool,
    progress: bool = False,
) -> Outcome:
    """Map with several seeds and initial pairs, and keep the best model by ``models.score``.

    names: of the images by id; connected: how many of them verified pairs connect that chance does not explain.
    is_estimated: whether some focal lengths are only estimated: then there are options.min_starts or more. Starts go on
    while the best model leaves connected images without support, to options.max_starts or the end of the time budget,
    which stops all runs but the first. Where all cameras are known, they end when four in a row gain nothing.

    The kept start's models are followed by those that other starts found of images which they lack.
    """
    outcome, elsewhere = Outcome(), []
    least = min(options.min_starts, options.max_starts) if is_estimated else 1
    begun, fruitless, pairs = time.perf_counter(), 0, []
    for number in count():
        is_whole = outcome.kept is not None and outcome.kept.best.supported >= connected
        seconds_left = options.time_budget - (time.perf_counter() - begun)
        is_enough = outcome.found >= least and (is_whole or (not is_estimated and fruitless >= FRUITLESS))
        is_last = outcome.found >= options.max_starts or number >= max(options.max_starts, 1 + len(pairs))
        if number and (seconds_left <= 0 or is_enough or is_last):
            break
        if number == 1 and given.mapper is Mapper.INCREMENTAL:
            pairs = _initial_pairs(given, RUNS_A_START * options.max_starts)
        # The global pipeline has no last step that refines the distortion of what a cautious run found.
        is_refined = given.is_refined and given.mapper is Mapper.INCREMENTAL
        takes_turns, is_all_cautious = is_estimated or is_refined, is_refined and outcome.found < least
        trial = trial_of(number, options.seed, takes_turns, is_all_cautious, pairs)
        if number:
            trial = replace(trial, most_seconds=_whole_seconds(seconds_left))
        models, seconds = _run(given, trial, len(names), progress)
        initial = tuple(names[image_id] for image_id in trial.initial_pair)
        start = Start(
            seed=trial.seed,
            way="cautious" if trial.is_cautious else "",
            initial=initial,
            best=statistics(models[0], given.pixel_factor) if models else None,
            seconds=seconds,
        )
        others = outcome.models
        if outcome.add(start, models):
            fruitless = 0
        else:
            others, fruitless = models, fruitless + bool(models)
        elsewhere += _apart_from(outcome.models, others, given.pixel_factor)
    if outcome.kept is None:
        return outcome
    _refine_distortion(given, outcome, _whole_seconds(max(seconds_left, outcome.kept.seconds)))
    outcome.models += _apart_from(outcome.models, elsewhere, given.pixel_factor)
    return outcome


def trial_of(number: int, seed: int, takes_turns: bool, is_all_cautious: bool, pairs: list[tuple[int, int]]) -> Trial:
    """The run of that number: the first begins where the pipeline likes, the next ones with one of the pairs each.

    Where focal lengths are estimated or keypoints refined, runs are cautious: the first ones with refined keypoints
    (is_all_cautious), else every second one (takes_turns). The others are for what caution costs: lenses with much
    distortion, images that only weak pairs connect, and keypoints that are pixels off, of which a model with free
    distortion keeps more.
    """
    return Trial(
        seed=seed + number,
        is_cautious=is_all_cautious or (takes_turns and number % 2 == 1),
        initial_pair=pairs[number - 1] if 0 < number <= len(pairs) else (),
    )


def _whole_seconds(seconds: float) -> int:
    return math.ceil(min(seconds, MOST_SECONDS))


def _initial_pairs(given: MappingInput, most: int) -> list[tuple[int, int]]:
    limits = incremental_options(given, Trial(seed=0)).mapper
    with MatchStore(given.database) as store:
        return initial_pairs(store, limits, given.chance_pairs, most=most)


def _run(given: MappingInput, trial: Trial, images: int, progress: bool) -> tuple[list[pycolmap.Reconstruction], float]:
    """Models, best first, and seconds."""
    started = time.perf_counter()
    with tqdm(total=images, desc=f"map, seed {trial.seed}", unit="image", disable=not progress, leave=False) as bar:
        models = map_once(given, trial, bar.update)
    models.sort(key=lambda model: score(statistics(model, given.pixel_factor)), reverse=True)
    return models, time.perf_counter() - started


def _refine_distortion(given: MappingInput, outcome: Outcome, most_seconds: int) -> None:
    """Go on with the kept model of a cautious start, lens distortion refined, where the cameras' models have any."""
    kept, model = outcome.kept, outcome.models[0]
    has_distortion = any(len(camera.extra_params_idxs()) for camera in model.cameras.values())
    if not kept.way or not has_distortion or given.all_constant or given.mapper is not Mapper.INCREMENTAL:
        return
    started = time.perf_counter()
    released = with_distortion(given, model, kept.seed, most_seconds)
    start = Start(
        seed=kept.seed,
        way="distortion refined",
        initial=kept.initial,
        best=statistics(released, given.pixel_factor) if released else None,
        seconds=time.perf_counter() - started,
    )
    outcome.starts.append(start)
    cameras = {released.images[image_id].camera_id for image_id in released.reg_image_ids()} if released else ()
    if released and is_worth_it(start.best, kept.best, len(cameras)):
        outcome.kept, outcome.models = start, [released, *outcome.models[1:]]


def is_worth_it(released: ModelStatistics, held: ModelStatistics, cameras: int) -> bool:
    """Whether refined distortion explains so much more that it is more than the additional parameters' doing.

    cameras: how many the released model has, each with distortion of its own.
    """
    if released.supported != held.supported:
        return released.supported > held.supported
    return released.agreement > (1 + MIN_GAIN * cameras / released.images) * held.agreement


def _apart_from(
    taken: Iterable[pycolmap.Reconstruction], others: Iterable[pycolmap.Reconstruction], pixel_factor: float
) -> list[pycolmap.Reconstruction]:
    """Those of the other models, best first, that share no image with a model before them."""
    seen = {image_id for model in taken for image_id in model.reg_image_ids()}
    apart = []
    for model in sorted(others, key=lambda model: score(statistics(model, pixel_factor)), reverse=True):
        image_ids = set(model.reg_image_ids())
        if not image_ids & seen:
            apart.append(model)
            seen |= image_ids
    return apart
