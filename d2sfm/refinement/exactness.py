"""How exact refined keypoints are, which decides within how many pixels their pairs are verified."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from math import inf
from pathlib import Path

import torch

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.settings import Threshold, allowed_error, pair_threshold_px
from d2sfm.matching.tasks import PairTask, run_pairs
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.system import processors

logger = logging.getLogger(__name__)

MAX_ERROR = 2.0  # of refined keypoints, in pixels of the network input: wide enough for photographs that look unlike
EXACT_PX = 1.0  # of the photographs, where they look alike
KEPT = 0.88  # share of the inliers that must agree within EXACT_PX, too
MOST_PAIRS = 200  # that are looked at, evenly among all


def exact_limit_px(database: Path, verification: VerificationOptions) -> float | None:
    """EXACT_PX where the keypoints of verified pairs are so exact that KEPT of the inliers stay within that; else None,
    also where it is noted already, or nothing is verified.
    """
    with FeatureStore(database) as features:
        threshold, factors = allowed_error(features), features.resize_factors()
    if threshold.max_error_px < inf:
        return None
    with MatchStore(database) as store:
        tasks = list(_tasks(store, Threshold(threshold.max_error, EXACT_PX), factors))
    with closing(run_pairs(tasks, MatchingOptions(device="cpu"), verification, processors())) as results:
        kept = sum(len(result.geometry.inlier_matches) for result in results)
    inliers = sum(len(task.matches) for task in tasks)
    logger.info("%d of %d inliers agree within %g px of the photographs, too", kept, inliers, EXACT_PX)
    return EXACT_PX if inliers and kept >= KEPT * inliers else None


def _tasks(store: MatchStore, threshold: Threshold, factors: Mapping[int, float]) -> Iterator[PairTask]:
    """The inliers of some verified pairs to be verified within another threshold."""
    inputs, names, counts = MatchingInputs(store, torch.device("cpu")), store.image_names(), store.pair_counts()
    verified = image_pairs(counts["pair_id"][counts["inliers"] > 0])
    for a, b in verified[:: -(-len(verified) // MOST_PAIRS) or 1].tolist():
        try:
            matches, views = store.inlier_matches(a, b), (inputs.view(a), inputs.view(b))
        except UnusableRow:  # which verification has named
            continue
        limit_px = pair_threshold_px(threshold, factors, (a, b))
        yield PairTask(pair=(a, b), names=(names[a], names[b]), matches=matches, views=views, max_error_px=limit_px)
