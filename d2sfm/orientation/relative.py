"""Which pictures are likely neighbours, and by how many quarters one is turned against the other."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import cv2
import numpy as np

from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.options import MatchingOptions
from d2sfm.orientation.turned_features import TURNS, TurnedFeatures
from d2sfm.pairs.arrays import exhaustive, nearest, unique_pairs
from d2sfm.pairs.retrieval import similarities
from d2sfm.pairs.vlad import global_descriptors
from d2sfm.progress import Bar

WORDS = 16
MAX_ERROR_PX = 2.0  # of the small picture
TRIALS = 500
MATCHING = MatchingOptions(device="cpu")  # a GPU waits longer for so few descriptors than it takes to compare them

Turned = Sequence[TurnedFeatures]  # of one picture, turned clockwise by 0, 1, 2 and 3 quarters


class _Descriptors:
    """Descriptors of all pictures in all turns, as retrieval asks a database for them."""

    def __init__(self, features: Sequence[Turned]):
        self._features = features

    def descriptors(self, index: int) -> np.ndarray:
        turn, picture = divmod(index, len(self._features))
        return self._features[picture][turn].descriptors


def likely_pairs(features: Sequence[Turned], num_neighbours: int) -> np.ndarray:
    """Pairs of each picture with the most similar ones in the best of their turns.

    Returns indices of pictures, [P, 2] uint32, ascending. The same features give the same pairs on any number of
    processors.
    """
    count = len(features)
    if count <= num_neighbours + 1:
        return exhaustive(range(count))
    of_turns = global_descriptors(_Descriptors(features), range(len(TURNS) * count), WORDS)
    score = similarities(of_turns)

    def best_of_turns(begin: int, end: int) -> np.ndarray:
        return score(begin, end).reshape(end - begin, len(TURNS), count).max(axis=1)

    return unique_pairs(*nearest(best_of_turns, count, num_neighbours))


def inliers_in_turns(
    features: Sequence[Turned], pairs: np.ndarray, num_threads: int, progress: bool = False
) -> np.ndarray:
    """Matches that agree with one epipolar geometry, of the first picture of each pair with the second in each turn.

    pairs: [P, 2] indices of pictures. Returns [P, 4] int64, by quarters that the second one is turned clockwise. The
    number of threads does not change them.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        found = pool.map(_inliers_of_pair, repeat(features), pairs.tolist())
        counts = list(Bar(found, total=len(pairs), desc="turns", unit="pair", disable=not progress))
    return np.array(counts, np.int64).reshape(-1, len(TURNS))


def _inliers_of_pair(features: Sequence[Turned], pair: list[int]) -> list[int]:
    first, second = (features[index] for index in pair)
    return [_inliers(first[0], turned) for turned in second]


def _inliers(a: TurnedFeatures, b: TurnedFeatures) -> int:
    matches = mutual_nearest_neighbours(a.descriptors, b.descriptors, MATCHING)
    if len(matches) < 8:
        return 0
    of_a, of_b = matches.T
    similarity = np.einsum("nd,nd->n", a.descriptors[of_a].astype(np.float32), b.descriptors[of_b].astype(np.float32))
    order = np.argsort(-similarity, kind="stable")  # PROSAC begins with the surest
    _, mask = cv2.findFundamentalMat(a.xy[of_a[order]], b.xy[of_b[order]], _ransac())
    return 0 if mask is None else int(np.count_nonzero(mask))


def _ransac() -> cv2.UsacParams:
    settings = cv2.UsacParams()
    settings.sampler = cv2.SAMPLING_PROSAC
    settings.score = cv2.SCORE_METHOD_MSAC
    settings.threshold = MAX_ERROR_PX
    settings.maxIterations = TRIALS
    settings.confidence = 0.999
    settings.randomGeneratorState = 0
    return settings
