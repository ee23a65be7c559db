"""How exact refined keypoints are, which decides within how many pixels their pairs are verified."""

import logging
from contextlib import closing
from math import inf
from pathlib import Path

import numpy as np

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.settings import Threshold, allowed_error, pair_threshold_px
from d2sfm.matching.tasks import PairTask, run_pairs
from d2sfm.network.device import resolve_device
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
        wide, factors = allowed_error(features), features.resize_factors()
    if wide.max_error_px < inf:
        return None
    exact, options = Threshold(wide.max_error, EXACT_PX), MatchingOptions(device="cpu")
    with MatchStore(database) as store:
        counts = store.pair_counts()
        verified = counts["pair_id"][counts["inliers"] > 0]
        chosen = np.unique(np.linspace(0, len(verified) - 1, min(len(verified), MOST_PAIRS)).astype(int))
        tasks, before = [], 0
        inputs, names = MatchingInputs(store, resolve_device(options.device)), store.image_names()
        for a, b in image_pairs(verified[chosen]).tolist():
            try:
                matches, views = store.inlier_matches(a, b), (inputs.view(a), inputs.view(b))
            except UnusableRow:
                continue  # which verification has named
            limit_px, before = pair_threshold_px(exact, factors, (a, b)), before + len(matches)
            task = PairTask(pair=(a, b), names=(names[a], names[b]), matches=matches, views=views, max_error_px=limit_px)
            tasks.append(task)
    with closing(run_pairs(tasks, options, verification, processors())) as results:
        after = sum(len(result.geometry.inlier_matches) for result in results)
    logger.info("%d of %d inliers agree within %g px of the photographs, too", after, before, EXACT_PX)
    return EXACT_PX if before and after >= KEPT * before else None
