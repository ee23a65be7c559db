"""How exact refined keypoints are, which decides within how many pixels their pairs are verified."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from math import inf
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow
from d2sfm.matching.chance import false_alarms_of_pair
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.settings import Threshold, Thresholds, thresholds_of
from d2sfm.matching.tasks import PairTask, run_pairs
from d2sfm.matching.view import View
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.system import processors

logger = logging.getLogger(__name__)

MAX_ERROR = 2.0  # of refined keypoints, in pixels of the network input: wide enough for photographs that look unlike
EXACT_PX = 1.0  # of the photographs, where they look alike
MORE_CERTAIN = 0.5  # share of the pairs above which their agreement must be less likely by chance within EXACT_PX
MOST_LOST = 0.05  # share of the pairs that chance may explain then
MOST_PAIRS = 200  # that are looked at, evenly among all


class _Pair(NamedTuple):
    """A verified pair: its inliers to be verified within EXACT_PX, how many matches verification saw, and how likely
    its agreement is by chance as it is."""

    task: PairTask
    matches: int
    by_chance: float


def exact_limit_px(database: Path, verification: VerificationOptions) -> float | None:
    """EXACT_PX where the keypoints of most verified pairs are as exact as that; else None, also where it is noted
    already.

    A smaller threshold leaves a pair fewer inliers, and wrong matches less of the image. Where chance explains the
    agreement less well then (see ``matching.chance``), what it loses are wrong matches rather than true ones. But pairs
    that hang on a few matches may be lost, and photographs with them.
    """
    with FeatureStore(database) as features:
        thresholds = thresholds_of(features, verification)
    if thresholds.common.max_error_px < inf:
        return None
    with MatchStore(database) as store:
        pairs = list(_pairs(store, thresholds))
    tasks = (pair.task for pair in pairs)
    with closing(run_pairs(tasks, MatchingOptions(device="cpu"), verification, processors())) as results:
        exact = [
            _by_chance(task.views, matches, len(result.geometry.inlier_matches), task.max_error_px)
            for (task, matches, _), result in zip(pairs, results, strict=True)
        ]
    better = sum(each < pair.by_chance for each, pair in zip(exact, pairs, strict=True))
    lost = sum(each >= 0 for each in exact)
    logger.info(
        "within %g px of the photographs, chance explains %d of %d pairs less well, and %d so well that they are lost",
        EXACT_PX,
        better,
        len(pairs),
        lost,
    )
    is_exact = better > MORE_CERTAIN * len(pairs) and lost <= MOST_LOST * len(pairs)
    return EXACT_PX if is_exact else None


def _pairs(store: MatchStore, thresholds: Thresholds) -> Iterator[_Pair]:
    """Verified pairs of refined images that chance does not explain, all or some."""
    exact = thresholds._replace(common=Threshold(thresholds.common.max_error, EXACT_PX))
    inputs, names, counts = MatchingInputs(store, torch.device("cpu")), store.image_names(), store.pair_counts()
    is_refined = ~np.isin(image_pairs(counts["pair_id"]), list(thresholds.new)).any(axis=1)
    counts = counts[(counts["inliers"] > 0) & is_refined]
    counts = counts[:: -(-len(counts) // MOST_PAIRS) or 1]
    for pair in image_pairs(counts["pair_id"]).tolist():
        try:
            matches, views = store.inlier_matches(*pair), tuple(map(inputs.view, pair))
            of_pair = len(store.open_matches(*pair))
        except UnusableRow:  # which verification has named
            continue
        by_chance = _by_chance(views, of_pair, len(matches), thresholds.of_pair_px(pair))
        if by_chance < 0:
            called, limit_px = tuple(names[image_id] for image_id in pair), exact.of_pair_px(pair)
            task = PairTask(pair=tuple(pair), names=called, matches=matches, views=views, max_error_px=limit_px)
            yield _Pair(task, of_pair, by_chance)


def _by_chance(views: Iterable[View], matches: int, inliers: int, max_error_px: float) -> float:
    return false_alarms_of_pair([view.camera for view in views], matches, inliers, max_error_px)
