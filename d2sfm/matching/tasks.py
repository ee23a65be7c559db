"""Matching and verification of pairs, in threads."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch

from d2sfm.database.pair_rows import are_among
from d2sfm.matching.guided import GuidedPair, match_again
from d2sfm.matching.neighbours import neighbours_and_similarities
from d2sfm.matching.verification import verify
from d2sfm.matching.view import View
from d2sfm.options import MatchingOptions, VerificationOptions

PAIRS_IN_FLIGHT = 4  # for each thread: a slow pair does not hold up the others, and memory stays bounded


@dataclass(frozen=True, kw_only=True)
class PairTask:
    """Work for one pair, with its data from the database.

    pair: image ids. descriptors: of both images, to be matched; or else existing ``matches``, [M, 2], and their
    ``similarities``, [M], if known. refuted: matches that are left out where they are verified, [K, 2].
    views: camera and keypoints of both images, if they are to be verified. names: of the images; max_error_px: see
    ``verify``.
    """

    pair: tuple[int, int]
    names: tuple[str, str]
    descriptors: tuple[torch.Tensor, torch.Tensor] | None = None
    matches: np.ndarray | None = None
    similarities: np.ndarray | None = None
    refuted: np.ndarray | None = None
    views: tuple[View, View] | None = None
    max_error_px: float | None = None


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """Matches of a pair, [M, 2] uint32, its geometry if it was verified, and the seconds of both.

    similarities: of the matches, [M] float16; None if they are not known. refused: see ``Verification``. is_matched:
    whether the matches are new, and not those of the task.
    """

    pair: tuple[int, int]
    matches: np.ndarray
    is_matched: bool
    similarities: np.ndarray | None
    geometry: pycolmap.TwoViewGeometry | None
    refused: str
    matching_s: float
    verification_s: float


def run_pair(task: PairTask, options: MatchingOptions, verification: VerificationOptions | None) -> PairResult:
    """Match and verify one pair."""
    started = time.perf_counter()
    matches, similarities = task.matches, task.similarities
    if matches is None:
        matches, similarities = neighbours_and_similarities(*task.descriptors, options)
    matched = time.perf_counter()
    geometry, refused = None, ""
    if verification is not None:
        is_open = np.ones(len(matches), bool) if task.refuted is None else ~are_among(matches, task.refuted)
        of_open = None if similarities is None else similarities[is_open]
        of_pair = {"similarities": of_open, "max_error_px": task.max_error_px, "names": task.names}
        verified = verify(*task.views, matches[is_open], verification, **of_pair)
        geometry, refused = verified.geometry, verified.refused
        if options.guided and task.matches is None:
            before = GuidedPair(matches=matches, similarities=similarities, geometry=geometry)
            of_pair = {"max_error_px": task.max_error_px, "names": task.names, "refuted": task.refuted}
            again = match_again(*task.views, task.descriptors, before, verification, **of_pair)
            matches, similarities, geometry = again.matches, again.similarities, again.geometry
    return PairResult(
        pair=task.pair,
        matches=matches,
        is_matched=task.matches is None,
        similarities=similarities,
        geometry=geometry,
        refused=refused,
        matching_s=matched - started,
        verification_s=time.perf_counter() - matched,
    )


def run_pairs(
    tasks: Iterable[PairTask], options: MatchingOptions, verification: VerificationOptions | None, num_threads: int
) -> Iterator[PairResult]:
    """The results of the tasks, in their order; threads work on the next ones meanwhile.

    Tasks are drawn in the thread of the caller, ``PAIRS_IN_FLIGHT`` for each thread ahead of the results.
    """
    with _single_threads(num_threads) as pool:
        waiting = deque()
        for task in tasks:
            waiting.append(pool.submit(run_pair, task, options, verification))
            if len(waiting) >= PAIRS_IN_FLIGHT * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _single_threads(num_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in each of which torch computes in that thread alone.

    A pair for each thread keeps all processors busy. With threads of torch's own beside those of verification, each
    piece of a product waited for the slowest processor: matching and verification together took 1.5 times the sum of
    both alone.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # the number is each thread's own, but also that of threads to come
