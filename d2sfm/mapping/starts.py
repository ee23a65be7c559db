"""Starts of mapping: which are made, and whose model is kept."""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pycolmap

from d2sfm.colmap import posed_images
from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import connected_groups, image_pairs
from d2sfm.mapping.initial_pairs import InitialPair, initial_pairs
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options, map_once, with_distortion
from d2sfm.mapping.outcome import CAUTIOUS, Outcome, Start, best_first
from d2sfm.mapping.quality import is_worth_it, statistics
from d2sfm.mapping.stopping import StoppingRule
from d2sfm.options import Mapper, ReconstructionOptions
from d2sfm.progress import Bar
from d2sfm.text import counted

RUNS_A_START = 3  # most initial pairs give no model, and are done in a second
LEAST_IMAGES = 3  # of a model of what the others leave out: of two images, nothing tells whether it is right

logger = logging.getLogger(__name__)


def best_of_starts(given: MappingInput, options: ReconstructionOptions, *, progress: bool = False) -> Outcome:
    """Map with several seeds and initial pairs, and keep the best model by ``quality.score``.

    For their number, and what stops them, see ``StoppingRule``. The kept start's models are followed by those that
    other starts found of images which they lack, and these by models of the rest: each group of images that verified
    pairs connect is mapped in the same way, largest first, while there is time.
    """
    rule = StoppingRule(given, options)
    outcome = _best_of_starts(given, options, rule, progress)
    if outcome.kept is not None:
        _add_rest(given, options, rule.of_rest(), outcome, progress)
    return outcome


def _best_of_starts(given: MappingInput, options: ReconstructionOptions, rule: StoppingRule, progress: bool) -> Outcome:
    outcome, is_stopped = Outcome(pixel_factor=given.pixel_factor), False
    for trial in trials(given, options, rule, outcome):
        start, models = _run(given, trial, progress)
        if outcome.add(start, models):
            is_stopped = trial.most_seconds is not None and start.seconds >= trial.most_seconds
    if outcome.kept is not None:
        if is_stopped and outcome.kept.best.images < given.connected:
            stopped = "the best start was stopped at the end of the time budget, with %d of %d images: %s"
            logger.warning(stopped, outcome.kept.best.images, len(given.names), "a larger --time-budget may give more")
        _refine_distortion(given, outcome, rule)
    return outcome


def _add_rest(
    given: MappingInput, options: ReconstructionOptions, rule: StoppingRule, outcome: Outcome, progress: bool
) -> None:
    """Append models of the images that the models lack, and the starts that were made for them."""
    ids = _verified(given)
    pairs, there = image_pairs(ids), [image_id for model in outcome.models for image_id in model.reg_image_ids()]
    groups = connected_groups(pairs[~np.isin(pairs, there).any(axis=1)])
    groups = [group for group in groups if len(group) >= LEAST_IMAGES]
    for number, group in enumerate(groups):
        if rule.is_over:
            late = f"{sum(map(len, groups[number:]))} images in {counted(len(groups) - number, 'group')}"
            logger.warning("not mapped by themselves, as the time was over: %s; a larger --time-budget maps them", late)
            return
        rest = _among(given, group, ids)
        further = _best_of_starts(rest, options, StoppingRule(rest, options, rule.end), progress)
        outcome.starts += [replace(start, is_of_rest=True) for start in further.starts]
        outcome.models += [model for model in further.models if model.num_reg_images() >= LEAST_IMAGES]


def _verified(given: MappingInput) -> np.ndarray:
    """The numbers of the verified pairs that are not left out, [P]."""
    with MatchStore(given.database) as store:
        return store.verified_counts(given.left_out)["pair_id"]


def _among(given: MappingInput, image_ids: Iterable[int], verified: np.ndarray) -> MappingInput:
    """The input with these images only. verified: pairs that are not left out, see ``_verified``."""
    names = {int(image_id): given.names[image_id] for image_id in image_ids}
    is_outside = ~np.isin(image_pairs(verified), list(names)).all(axis=1)
    left_out = np.union1d(given.left_out, verified[is_outside])
    return replace(given, names=names, connected=len(names), left_out=left_out)


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
        way=CAUTIOUS if trial.is_cautious else "",
        initial=names_of(given, trial),
        best=of_found[0] if models else None,
        dropped=of_found[0] if found and not models else None,
        seconds=time.perf_counter() - started,
    )
    return start, models


def names_of(given: MappingInput, trial: Trial) -> tuple[str, ...]:
    """The names of the images that the trial starts with; none if the pipeline chooses them."""
    return tuple(given.names[image_id] for image_id in trial.initial_pair.image_ids) if trial.initial_pair else ()


def _refine_distortion(given: MappingInput, outcome: Outcome, rule: StoppingRule) -> None:
    """Continue models whose lens distortion a cautious start has held with refined distortion, if cameras have any.

    The first one may gain images, so those that other starts found elsewhere are taken in after it. They and the kept
    start's other models stay with their images, and are all tried where any start may have been cautious.
    """
    first, kept = outcome.models[0], outcome.kept
    is_held = (given.is_refined or given.is_estimated) and not given.all_constant
    is_held = is_held and given.mapper is Mapper.INCREMENTAL
    if is_held and kept.is_cautious and _has_distortion(first):
        outcome.models[0], start = _released(given, first, kept, rule.whole_seconds_left(kept.seconds))
        outcome.starts.append(start)
        if outcome.models[0] is not first:
            outcome.kept = start
    outcome.add_elsewhere()
    if not is_held or len(outcome.models) == 1:
        return
    verified = _verified(given)
    for number, model in enumerate(outcome.models[1:], 1):
        if _has_distortion(model) and model.num_reg_images() >= LEAST_IMAGES and not rule.is_over:
            place = _among(given, model.reg_image_ids(), verified)
            outcome.models[number], start = _released(place, model, kept, rule.whole_seconds_left())
            outcome.starts.append(replace(start, is_of_rest=True, initial=()))


def _has_distortion(model: pycolmap.Reconstruction) -> bool:
    return any(len(camera.extra_params_idxs()) for camera in model.cameras.values())


def _released(
    given: MappingInput, model: pycolmap.Reconstruction, kept: Start, most_seconds: int
) -> tuple[pycolmap.Reconstruction, Start]:
    """The model with refined lens distortion where that is worth it, else as it is; and the start that was made."""
    started, before = time.perf_counter(), statistics(model, given.pixel_factor)
    released = with_distortion(given, model, kept.seed, most_seconds)
    start = Start(
        seed=kept.seed,
        way="distortion refined",
        initial=kept.initial,
        best=statistics(released, given.pixel_factor) if released else None,
        seconds=time.perf_counter() - started,
    )
    cameras = {image.camera_id for image in posed_images(released)} if released else ()
    return (released if released and is_worth_it(start.best, before, len(cameras)) else model), start
