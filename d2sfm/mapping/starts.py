"""Starts of mapping: which are made, and whose model is kept."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pycolmap

from d2sfm.colmap import posed_images
from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import connected_groups, image_pairs
from d2sfm.mapping.initial_pairs import InitialPair, initial_pairs
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options, map_once, with_distortion
from d2sfm.mapping.quality import ModelStatistics, is_worth_it, score, statistics
from d2sfm.options import Mapper, ReconstructionOptions
from d2sfm.progress import Bar

FRUITLESS = 4  # further starts with known cameras, one after the other
ROUNDING = 1e-3  # of the agreement, as a share: what equal models differ by, as their adjustments ended here or there
MOST_SECONDS = 1 << 30  # that pycolmap is told
RUNS_A_START = 3  # most initial pairs give no model, and are done in a second
FURTHER_S = 600.0  # that further starts have where the user gives no time budget
LEAST_IMAGES = 3  # of a model of what the others leave out: of two images, nothing tells whether it is right

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Start:
    """One mapping run: its seed, the statistics of its best model (None without any), and its seconds.

    way: how it was made, "" for the pipeline's own; see ``one_run.Trial`` and ``one_run.with_distortion``.
    is_of_rest: whether only images were mapped that the kept models lack.
    initial: names of the images it was told to start with; empty if the pipeline chose them.
    """

    seed: int
    way: str = ""
    is_of_rest: bool = False
    initial: tuple[str, ...] = ()
    best: ModelStatistics | None
    dropped: ModelStatistics | None = None  # of the best one, where no image of any has support: that is no model
    seconds: float

    @property
    def label(self) -> str:
        """Seed, way, and first images."""
        rest = "of the rest" if self.is_of_rest else ""
        parts = (f"seed {self.seed}", rest, self.way, " and ".join(self.initial))
        return ", ".join(part for part in parts if part)


@dataclass(kw_only=True)
class Outcome:
    """All starts, the one that is kept, and its models, best first; the earliest of equals is kept."""

    pixel_factor: float = 1.0
    starts: list[Start] = field(default_factory=list)
    kept: Start | None = None
    models: list[pycolmap.Reconstruction] = field(default_factory=list)
    elsewhere: list[pycolmap.Reconstruction] = field(default_factory=list)  # of images that the models lack
    fruitless: int = 0  # the last starts that gave models, none of them better

    @property
    def found(self) -> int:
        """Starts that gave a model."""
        return sum(start.best is not None for start in self.starts)

    def add(self, start: Start, models: list[pycolmap.Reconstruction]) -> bool:
        """Enter a start with its models, best first. Returns whether it is now the one that is kept."""
        self.starts.append(start)
        before, found = self.kept and self.kept.best, models and score(start.best)
        is_better = bool(models) and (before is None or found > score(before))
        gains = is_better and (before is None or found > (before.supported, (1 + ROUNDING) * before.agreement))
        self.fruitless = 0 if gains else self.fruitless + bool(models)
        others = self.models if is_better else models
        if is_better:
            self.kept, self.models = start, models
        self.elsewhere += self._apart(others)
        return is_better

    def add_elsewhere(self) -> None:
        """Append models of images that the kept models lack."""
        self.models += self._apart(self.elsewhere)

    def _apart(self, others: list[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
        """The other models, best first, that share no image with an earlier one."""
        seen = {image_id for model in self.models for image_id in model.reg_image_ids()}
        apart = []
        for model in best_first(others, self.pixel_factor):
            image_ids = set(model.reg_image_ids())
            if not image_ids & seen:
                apart.append(model)
                seen |= image_ids
        return apart


class StoppingRule:
    """When no further start is made.

    With estimated focal lengths there are options.min_starts or more. Starts continue while the best model leaves
    connected images without support, to options.max_starts or the end of the time budget. If all cameras are known,
    they end when four in a row gain nothing.

    A start of a large set takes hours, and half of one is worthless: a start begins only if as much time is left as the
    kept one took, and without a budget of the user none is stopped before a model of most images exists.
    """

    def __init__(self, given: MappingInput, options: ReconstructionOptions, end: float | None = None):
        """end: of the time, of ``time.perf_counter``; None: the time begins now."""
        self._given, self._options = given, options
        self.end = time.perf_counter() + (options.time_budget or FURTHER_S) if end is None else end
        self.least = min(options.min_starts, options.max_starts) if given.is_estimated else 1

    def most_seconds(self, outcome: Outcome) -> int | None:
        """The most seconds of the next start, see ``Trial``."""
        if self._options.time_budget is None and not self._is_of_most(outcome):
            return None
        return self.whole_seconds_left()

    def whole_seconds_left(self, at_least: float = 1.0) -> int:
        """The seconds that the time budget leaves, for pycolmap, to which 0 is no limit."""
        return math.ceil(min(max(self._seconds_left(), at_least), MOST_SECONDS))

    def ends(self, outcome: Outcome, runs: int, pairs: int) -> bool:
        """Whether the outcome of ``runs`` runs, with a choice of ``pairs`` initial pairs, is the last."""
        most = self._options.max_starts
        is_last = outcome.found >= most or runs >= max(most, 1 + pairs)
        needed = outcome.kept.seconds if self._is_of_most(outcome) else 0.0
        return is_last or self._seconds_left() <= needed or self._is_enough(outcome)

    def _seconds_left(self) -> float:
        return self.end - time.perf_counter()

    def _is_of_most(self, outcome: Outcome) -> bool:
        return outcome.kept is not None and 2 * outcome.kept.best.supported >= self._given.connected

    def _is_enough(self, outcome: Outcome) -> bool:
        is_whole = outcome.kept is not None and outcome.kept.best.supported >= self._given.connected
        gains_nothing = not self._given.is_estimated and outcome.fruitless >= FRUITLESS
        return outcome.found >= self.least and (is_whole or gains_nothing)


def best_of_starts(given: MappingInput, options: ReconstructionOptions, *, progress: bool = False) -> Outcome:
    """Map with several seeds and initial pairs, and keep the best model by ``quality.score``.

    For their number, and what stops them, see ``StoppingRule``. The kept start's models are followed by those that
    other starts found of images which they lack, and these by models of the rest: each group of images that verified
    pairs connect is mapped in the same way, largest first, while there is time.
    """
    rule = StoppingRule(given, options)
    outcome = _best_of_starts(given, options, rule, progress)
    if outcome.kept is not None:
        _add_rest(given, options, rule.end, outcome, progress)
    return outcome


def _best_of_starts(given: MappingInput, options: ReconstructionOptions, rule: StoppingRule, progress: bool) -> Outcome:
    outcome, is_stopped = Outcome(pixel_factor=given.pixel_factor), False
    for trial in trials(given, options, rule, outcome):
        start, models = _run(given, trial, progress)
        if outcome.add(start, models):
            is_stopped = trial.most_seconds is not None and start.seconds >= trial.most_seconds
    if outcome.kept is not None:
        if is_stopped:
            stopped = "the best start was stopped at the end of the time budget, with %d of %d images: %s"
            logger.warning(stopped, outcome.kept.best.images, len(given.names), "a larger --time-budget may give more")
        _refine_distortion(given, outcome, rule.whole_seconds_left(outcome.kept.seconds))
        outcome.add_elsewhere()
    return outcome


def _add_rest(
    given: MappingInput, options: ReconstructionOptions, end: float, outcome: Outcome, progress: bool
) -> None:
    """Append models of the images that the models lack, and the starts that were made for them."""
    with MatchStore(given.database) as store:
        ids = store.verified_counts(given.left_out)["pair_id"]
    pairs, there = image_pairs(ids), [image_id for model in outcome.models for image_id in model.reg_image_ids()]
    for group in connected_groups(pairs[~np.isin(pairs, there).any(axis=1)]):
        if len(group) < LEAST_IMAGES or time.perf_counter() >= end:
            return
        rest = replace(
            given,
            names={image_id: given.names[image_id] for image_id in group.tolist()},
            connected=len(group),
            left_out=np.union1d(given.left_out, ids[~np.isin(pairs, group).all(axis=1)]),
        )
        further = _best_of_starts(rest, options, StoppingRule(rest, options, end), progress)
        outcome.starts += [replace(start, is_of_rest=True) for start in further.starts]
        outcome.models += [model for model in further.models if model.num_reg_images() >= LEAST_IMAGES]


def trials(
    given: MappingInput, options: ReconstructionOptions, rule: StoppingRule, outcome: Outcome
) -> Iterator[Trial]:
    """The runs one after the other, until the rule ends them by their outcome."""
    # The global pipeline has no last step that refines the distortion of what a cautious run found.
    is_refined = given.is_refined and given.mapper is Mapper.INCREMENTAL
    takes_turns, pairs = given.is_estimated or is_refined, []
    for number in count():
        if number and rule.ends(outcome, number, len(pairs)):
            return
        if number == 1 and given.mapper is Mapper.INCREMENTAL:
            pairs = _initial_pairs(given, RUNS_A_START * options.max_starts)
        trial = trial_of(number, options.seed, takes_turns, is_refined and outcome.found < rule.least, pairs)
        yield replace(trial, most_seconds=rule.most_seconds(outcome))


def trial_of(number: int, seed: int, takes_turns: bool, is_all_cautious: bool, pairs: list[InitialPair]) -> Trial:
    """The run of that number: the first starts with the pair of the pipeline's choice, the next ones with one of the
    pairs each.

    With estimated focal lengths or refined keypoints, runs are cautious: the first ones with refined keypoints
    (is_all_cautious), else every second one (takes_turns). The others serve cases where caution costs: lenses with much
    distortion, and keypoints that are pixels off, of which a model with free distortion keeps more.
    """
    return Trial(
        seed=seed + number,
        is_cautious=is_all_cautious or (takes_turns and number % 2 == 1),
        initial_pair=pairs[number - 1] if 0 < number <= len(pairs) else None,
    )


def _initial_pairs(given: MappingInput, most: int) -> list[InitialPair]:
    limits = incremental_options(given, Trial(seed=0)).mapper
    with MatchStore(given.database) as store:
        return initial_pairs(store, limits, given.left_out, most=most)


def _run(given: MappingInput, trial: Trial, progress: bool) -> tuple[Start, list[pycolmap.Reconstruction]]:
    """The start that a trial makes, and its models, best first."""
    started, what = time.perf_counter(), f"map, seed {trial.seed}"
    with Bar(total=len(given.names), desc=what, unit="image", disable=not progress, leave=False) as bar:
        found = best_first(map_once(given, trial, bar.update), given.pixel_factor)
    of_found = [statistics(model, given.pixel_factor) for model in found]
    models = [model for model, numbers in zip(found, of_found, strict=True) if numbers.supported]
    start = Start(
        seed=trial.seed,
        way="cautious" if trial.is_cautious else "",
        initial=names_of(given, trial),
        best=of_found[0] if models else None,
        dropped=of_found[0] if found and not models else None,
        seconds=time.perf_counter() - started,
    )
    return start, models


def names_of(given: MappingInput, trial: Trial) -> tuple[str, ...]:
    """The names of the images that the trial starts with; none if the pipeline chooses them."""
    return tuple(given.names[image_id] for image_id in trial.initial_pair.image_ids) if trial.initial_pair else ()


def best_first(models: list[pycolmap.Reconstruction], pixel_factor: float) -> list[pycolmap.Reconstruction]:
    """The models in descending order of their scores."""
    return sorted(models, key=lambda model: score(statistics(model, pixel_factor)), reverse=True)


def _refine_distortion(given: MappingInput, outcome: Outcome, most_seconds: int) -> None:
    """Continue the kept model of a cautious start with refined lens distortion, if the camera models have any."""
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
    cameras = {image.camera_id for image in posed_images(released)} if released else ()
    if released and is_worth_it(start.best, kept.best, len(cameras)):
        outcome.kept, outcome.models = start, [released, *outcome.models[1:]]
