"""Pairs that are matched and verified one after the other, and written as they come."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import NO_PAIRS
from d2sfm.database.rows import UnusableRow
from d2sfm.estimate import Estimate
from d2sfm.lru import in_own_pages
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.settings import Thresholds, thresholds_of
from d2sfm.matching.summary import MatchSummary
from d2sfm.matching.tasks import PairTask, run_pairs
from d2sfm.network.device import resolve_device
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.pairs.arrays import among, in_tiles
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.system import processors

SHORTER = "--pairs retrieval with a small --num-neighbours, or --pairs sequential, asks for fewer"


@dataclass(frozen=True, kw_only=True)
class Work:
    """Pairs of a database, and how they are matched and verified."""

    options: MatchingOptions
    verification: VerificationOptions | None
    thresholds: Thresholds | None  # of verification; refinement's where keypoints are refined
    asked: np.ndarray  # [A, 2]
    todo: np.ndarray  # [P, 2], those of them that are not done, in tiles
    has_matches: np.ndarray  # [P] bool, of these, which stay
    is_new: np.ndarray  # [P] bool, whether the database has none
    others: int  # pairs in the database that were not asked for


def match_some(
    database: Path,
    pairs: np.ndarray,
    options: MatchingOptions,
    verification: VerificationOptions | None,
    *,
    num_threads: int | None = None,
    progress: bool = False,
) -> MatchSummary:
    """Match and verify pairs of image ids, [P, 2], as far as they are not; those that have matches keep them.

    Within the noted threshold of refined keypoints, or of those of extraction within that of the options. verification,
    num_threads: as for ``match_database``. The caller keeps other runs away. Raises RuntimeError if the file can't
    be written.
    """
    with FeatureStore(database) as features:
        thresholds = None if verification is None else thresholds_of(features, verification)
    with MatchStore(database) as store:
        work = work_of(store, pairs, options, verification, thresholds)
        return do_work(store, work, num_threads, progress)


def check_options(options: MatchingOptions, verification: VerificationOptions | None) -> None:
    """Raise ValueError for a bad device, and for guided matching without verification."""
    if options.guided and verification is None:
        raise ValueError("guided matching needs geometries: --guided does not go with --no-verify")
    resolve_device(options.device)


def work_of(
    store: MatchStore,
    asked: np.ndarray,
    options: MatchingOptions,
    verification: VerificationOptions | None,
    thresholds: Thresholds | None,
    overwritten: np.ndarray = NO_PAIRS,
) -> Work:
    """The pairs asked for, [P, 2] of image ids, less those that are done, and how they are matched and verified.

    overwritten: numbers (see ``pair_ids``) of pairs that are done again.
    """
    there = store.done_pairs(verified=False)
    done = there if verification is None else store.done_pairs(verified=True)
    todo = in_tiles(asked[~among(asked, done) | among(asked, overwritten)])
    return Work(
        options=options,
        verification=verification,
        thresholds=thresholds,
        asked=asked,
        todo=todo,
        has_matches=among(todo, there) & ~among(todo, overwritten),
        is_new=~among(todo, there),
        others=len(there) - np.count_nonzero(among(asked, there)),
    )


def do_work(store: MatchStore, work: Work, num_threads: int | None, progress: bool) -> MatchSummary:
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


def _tasks(store: MatchStore, work: Work, skipped: Skipped) -> Iterator[PairTask]:
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
                views = inputs.view(a), inputs.view(b)
                limit_px = work.thresholds.of_pair_px((a, b))
                task = replace(task, views=views, refuted=store.refuted(a, b), max_error_px=limit_px)
        except UnusableRow as error:
            skipped[error.name], latest = error.reason, None
            continue
        yield task
