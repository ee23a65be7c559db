"""Matches and two-view geometries of image pairs, into COLMAP's database.

d2sfm match --database db.db [--pairs retrieval]
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    exclusive,
    require_database,
    require_not_bridged,
    require_own_features,
)
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow
from d2sfm.estimate import Estimate
from d2sfm.lru import in_own_pages
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.settings import Thresholds, note_settings, pair_threshold_px, thresholds_of, thresholds_told
from d2sfm.matching.summary import MatchSummary
from d2sfm.matching.tasks import PairTask, run_pairs
from d2sfm.matching.unfinished import begin_overwriting, end_overwriting
from d2sfm.network.device import resolve_device
from d2sfm.options import MatchingOptions, PairSelectionOptions, VerificationOptions
from d2sfm.pairs.arrays import among, in_tiles
from d2sfm.pairs.pair_files import write_pairs
from d2sfm.pairs.select import select_pairs
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.system import processors
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

SHORTER = "--pairs retrieval with a small --num-neighbours, or --pairs sequential, asks for fewer"

_NONE = np.zeros(0, np.int64)  # numbers of no pairs


@dataclass(frozen=True, kw_only=True)
class _Work:
    """Pairs of a database, and how they are matched and verified."""

    options: MatchingOptions
    verification: VerificationOptions | None
    thresholds: Thresholds | None  # of verification; refinement's where keypoints are refined
    factors: Mapping[int, float]  # resize factors by image id
    asked: np.ndarray  # [A, 2]
    todo: np.ndarray  # [P, 2], those of them that are not done, in tiles
    has_matches: np.ndarray  # [P] bool, of these, which stay
    is_new: np.ndarray  # [P] bool, whether the database has none
    others: int  # pairs in the database that were not asked for


def match_database(
    database: Path | str,
    *,
    options: MatchingOptions | None = None,
    verification: VerificationOptions | None,
    pairs: PairSelectionOptions | None = None,
    write_pairs_to: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    num_threads: int | None = None,
) -> MatchSummary:
    """Match the images of a database in pairs, verify the matches, and write both.

    verification: None leaves two-view geometries out.
    pairs: which images to match, see ``pairs.select``; write_pairs_to: text file for what that came to.
    num_threads: each matches and verifies a pair (default: one for each processor); the results do not depend on it.

    Pairs that are there already are passed over, with a warning where other options made them; ``overwrite`` makes
    them anew. A pair that has matches but no geometry keeps its matches and is only verified. Each pair is written
    whole, so a stopped run goes on where it was. Images that have no features yet are left out with a warning.
    max_error is times the larger resize factor of a pair's images, and refinement's where the keypoints of both are
    refined.

    Raises FileNotFoundError for a missing file, ValueError for a bad pairs file or device, and RuntimeError where the
    database is none or in use, has fewer than two images with features, has descriptors that are not D2-Net's, or
    lacks what the pairs are chosen by.
    """
    database, options = Path(database), options or MatchingOptions()
    resolve_device(options.device)
    require_database(database)
    with exclusive(database):
        if overwrite:
            require_not_bridged(database, "match --overwrite")
        require_own_features(database, "match", or_descriptors=True)  # SIFT's matches are verified
        with FeatureStore(database) as features:
            thresholds, is_refined = thresholds_told(features, verification), bool(features.notes.refinement())
            later, factors = set(features.later().values()), features.resize_factors()
        with MatchStore(database) as store:
            asked = select_pairs(store, pairs or PairSelectionOptions())
            if write_pairs_to is not None:
                write_pairs(write_pairs_to, asked, store.image_names())
        settings = asdict(options) | (asdict(verification) if verification else {})
        del settings["device"]  # it does not change the result
        with FeatureStore(database) as features:
            differing = note_settings(features, settings)
        anew = begin_overwriting(database, asked, settings, overwrite)
        with MatchStore(database) as store:
            work = _work(store, asked, options, verification, thresholds, factors, _NONE if anew is None else anew)
            _warn(store, work, differing, anew is not None)
            if is_refined:
                _tell_of_new(work, later)
            summary = _match(store, work, num_threads, progress)
        if anew is not None:
            end_overwriting(database, settings, is_of_all=not work.others)
        return summary


def verify_again(database: Path, verification: VerificationOptions, *, progress: bool = False) -> MatchSummary:
    """Verify the pairs that have matches but no two-view geometry, as after their keypoints moved. As ``match_pairs``
    otherwise."""
    with MatchStore(database) as store:
        matched = image_pairs(store.done_pairs(verified=False))
    return match_pairs(database, matched, MatchingOptions(device="cpu"), verification, progress=progress)


def match_pairs(
    database: Path,
    pairs: np.ndarray,
    options: MatchingOptions,
    verification: VerificationOptions,
    *,
    progress: bool = False,
) -> MatchSummary:
    """Match and verify pairs of image ids, [P, 2], as far as they are not; those that have matches keep them.

    Within the noted threshold of refined keypoints, or of those of extraction within that of the options. What is
    skipped is logged. The caller keeps other runs away (``exclusive``). Raises RuntimeError where the file
    can't be written.
    """
    with FeatureStore(database) as features:
        thresholds, factors = thresholds_of(features, verification), features.resize_factors()
    with MatchStore(database) as store:
        work = _work(store, pairs, options, verification, thresholds, factors)
        summary = _match(store, work, None, progress)
    for name, reason in summary.skipped.items():
        logger.warning("skipped %s: %s", name, reason)
    return summary


def _work(
    store: MatchStore,
    asked: np.ndarray,
    options: MatchingOptions,
    verification: VerificationOptions | None,
    thresholds: Thresholds | None,
    factors: Mapping[int, float],
    anew: np.ndarray = _NONE,
) -> _Work:
    """anew: numbers of the pairs that count as not matched."""
    there = store.done_pairs(verified=False)
    done = there if verification is None else store.done_pairs(verified=True)
    todo = in_tiles(asked[~among(asked, done) | among(asked, anew)])
    return _Work(
        options=options,
        verification=verification,
        thresholds=thresholds,
        factors=factors,
        asked=asked,
        todo=todo,
        has_matches=among(todo, there) & ~among(todo, anew),
        is_new=~among(todo, there),
        others=len(there) - np.count_nonzero(among(asked, there)),
    )


def _warn(store: MatchStore, work: _Work, differing: str, overwrites: bool) -> None:
    """Of pairs that are made otherwise than others. differing: how the noted settings differ from those of this run."""
    if differing and not overwrites and len(work.todo) < len(work.asked):
        logger.warning("pairs that are there already were made with %s: --overwrite makes them anew", differing)
    if differing and overwrites and work.others:
        logger.warning("%d pairs that were not asked for stay, made with %s", work.others, differing)
    without_factor = sorted(set(np.unique(work.todo).tolist()) - work.factors.keys())
    if work.verification is not None and without_factor:
        names = store.image_names()
        logger.warning(
            "%s holds no resize factor of %s: there, max_error is in pixels of the photograph",
            store.path,
            first_of([names[image_id] for image_id in without_factor], "image"),
        )


def _tell_of_new(work: _Work, later: set[int]) -> None:
    """Of pairs that are new since keypoints were refined. later: ids of the images that came after that."""
    of_later = work.is_new & np.isin(work.todo, list(later)).any(axis=1)
    if of_later.any():
        logger.info("d2sfm refine aligns keypoints across the %d pairs of new images", np.count_nonzero(of_later))
    if count := np.count_nonzero(work.is_new & ~of_later):
        logger.warning(
            "%d pairs are new since the keypoints of both images were refined, and these are not aligned across them: "
            "d2sfm refine --overwrite aligns all",
            count,
        )


def _match(store: MatchStore, work: _Work, num_threads: int | None, progress: bool) -> MatchSummary:
    """Do the work, and write each pair as it comes."""
    verification, already_there = work.verification, len(work.asked) - len(work.todo)
    verified = None if verification is None else 0
    summary = MatchSummary(pairs=len(work.asked), already_there=already_there, verified=verified)
    left = Estimate("match", len(work.todo), "pairs", SHORTER)
    results = run_pairs(_tasks(store, work, summary.skipped), work.options, verification, num_threads or processors())
    with (
        closing(results),  # stops the threads when an exception or Ctrl-C ends the loop
        Bar(total=len(work.todo), desc="match", unit="pair", disable=not progress) as bar,
    ):
        for result in results:
            found = {name: getattr(result, name) for name in ("similarities", "refused", "is_matched")}
            store.write(*result.pair, result.matches, result.geometry, **found)
            summary.matches += len(result.matches)
            summary.matching_s += result.matching_s
            summary.verification_s += result.verification_s
            summary.refused += bool(result.refused)
            if verification is not None:
                summary.verified += len(result.geometry.inlier_matches) >= verification.min_num_inliers
            bar.update()
            left.update()
    return summary


def _tasks(store: MatchStore, work: _Work, skipped: Skipped) -> Iterator[PairTask]:
    """What is to be done for each pair. skipped: gets images and pairs whose rows can't be used."""
    device, names = resolve_device(work.options.device), store.image_names()
    inputs = MatchingInputs(store, device)
    latest, descriptors_b = None, None
    for (a, b), has_matches in zip(map(np.ndarray.tolist, work.todo), work.has_matches, strict=True):
        task = PairTask(pair=(a, b), names=(names[a], names[b]))
        if not skipped.keys().isdisjoint(task.names):
            continue
        try:
            if has_matches:
                task = replace(task, matches=store.matches(a, b), similarities=store.similarities(a, b))
            else:
                if b != latest:  # pairs that follow each other share it as a rule: on a CPU, it is cast for all of them
                    latest, descriptors_b = b, inputs.descriptors(b)
                    if device.type == "cpu":
                        descriptors_b = in_own_pages(descriptors_b, torch.float32)
                task = replace(task, descriptors=(inputs.descriptors(a), descriptors_b))
            if work.verification is not None:
                max_error_px = pair_threshold_px(work.thresholds.of_pair((a, b)), work.factors, (a, b))
                task = replace(task, views=(inputs.view(a), inputs.view(b)), max_error_px=max_error_px)
        except UnusableRow as error:
            skipped[error.name], latest = error.reason, None
            continue
        yield task
