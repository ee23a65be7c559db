"""D2 and SIFT on pairs of pictures that are hard to match: ``d2sfm evaluate pairs``.

Modules that need pycolmap are imported late: training evaluates, too, and needs no COLMAP.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from d2sfm.coordinates import hloc_from_image, joined_orientation, resize_factor, upright_array
from d2sfm.evaluation.pair_results import MethodOnPairs, PairsEvaluation, scores
from d2sfm.evaluation.pair_sets import HardPair, read_pairs
from d2sfm.evaluation.root_sift import ERRORS_PX, RATIOS, root_sift
from d2sfm.evaluation.two_view import Estimate, essential_matrix, fundamental_matrix, pose_error_deg, share_within
from d2sfm.features.extractor import Extractor
from d2sfm.lru import LruCache
from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.options import (
    Convention,
    DescriptorDtype,
    ExtractionOptions,
    MatchingOptions,
    Orientation,
    PairEvaluationOptions,
    Preprocessing,
)
from d2sfm.photographs.greys import own_range
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.reading import load_photograph
from d2sfm.progress import Bar
from d2sfm.text import errors_at

D2, SIFT = "D2", "SIFT"
SIFT_FEATURES = 8000
CACHE_BYTES = 1 << 29  # of features: lists name a picture in many pairs

Key = tuple[Path, int | None]  # a picture and EXIF's orientation, None for that of its file


class Described(NamedTuple):
    """Features of a picture: x, y with pixel centres at integers, [N, 2], descriptors of unit length, [N, D], and
    pixels of the picture for one of the network's input."""

    xy: np.ndarray
    descriptors: np.ndarray
    factor: float = 1.0

    @property
    def nbytes(self) -> int:
        return self.xy.nbytes + self.descriptors.nbytes


class Outcome(NamedTuple):
    """Of a pair: numbers of matches and of agreeing ones, and the share of clicked points within 1, 2, .. 20 px, [20],
    or the error of the pose in degrees."""

    matches: int
    inliers: int
    found: np.ndarray | float


def evaluate_pairs(
    path: Path | str,
    *,
    images: Path | str | None = None,
    extraction: ExtractionOptions | None = None,
    options: PairEvaluationOptions | None = None,
    progress: bool = False,
) -> PairsEvaluation:
    """Matches of D2 and of SIFT on pairs, judged by the geometry that OpenCV finds with them.

    path, images: see ``pair_sets.read_pairs``. Of WxBS's layout the fundamental matrix is judged by clicked points, of
    a list the pose by the essential matrix.

    SIFT is RootSIFT at its best: ratio and threshold are chosen by the scores on these very pairs.
    Raises as ``read_pairs`` and ``Extractor``, and ValueError for a picture that can't be used.
    """
    options = options or PairEvaluationOptions()
    return _evaluation(read_pairs(Path(path), images and Path(images), options.half), extraction, options, progress)


def scores_of_weights(
    path: Path | str, preprocessing: Preprocessing, device: str = "auto"
) -> Callable[[Path], Mapping[str, float]]:
    """A function for the scores of the weights in a file on pairs, which are read, and errors raised, at once."""
    pairs, options = read_pairs(Path(path)), PairEvaluationOptions(sift=False)

    def of_weights(weights: Path) -> Mapping[str, float]:
        extraction = ExtractionOptions(weights=str(weights), preprocessing=preprocessing, device=device)
        return _evaluation(pairs, extraction, options).methods[D2].scores

    return of_weights


def _evaluation(
    pairs: Sequence[HardPair],
    extraction: ExtractionOptions | None,
    options: PairEvaluationOptions,
    progress: bool = False,
) -> PairsEvaluation:
    extractor = Extractor(extraction, DescriptorDtype.FLOAT16)  # as a database keeps them
    d2, sift = LruCache(lambda key: _described(extractor, *key), CACHE_BYTES), LruCache(_sift, CACHE_BYTES)
    settings = list(product(RATIOS, ERRORS_PX)) if options.sift else []
    ours, theirs = [], [[] for _ in settings]
    for pair in Bar(pairs, desc="pairs", unit="pair", disable=not progress):
        ours.append(
            _of_d2(pair, [d2[key] for key in _keys(pair, extractor.options)], options, extractor.options.device)
        )
        for of_setting, outcome in zip(theirs, _of_sift(pair, sift) if options.sift else (), strict=True):
            of_setting.append(outcome)
    text = f"{extractor.options.weights}, threshold {options.max_error:g} px of the network input"
    methods = {D2: _method(text + ", guided" * options.guided, ours)}
    if options.sift:
        best = max(range(len(settings)), key=lambda index: sum(_scores(theirs[index]).values()))
        ratio, error = settings[best]
        text = f"RootSIFT, {SIFT_FEATURES} features, {'no ratio' if ratio is None else f'ratio {ratio:g}'}, "
        text += f"threshold {error:g} px, the best of {len(settings)} such settings on these pairs"
        methods[SIFT] = _method(text, theirs[best])
    return PairsEvaluation(names=tuple(pair.name for pair in pairs), methods=methods)


def _method(settings: str, outcomes: Sequence[Outcome]) -> MethodOnPairs:
    matches, inliers, found = zip(*outcomes, strict=True)
    has_points = isinstance(found[0], np.ndarray)
    return MethodOnPairs(
        settings=settings,
        matches=matches,
        inliers=inliers,
        within=tuple(tuple(each.tolist()) for each in found) if has_points else None,
        error_deg=None if has_points else found,
        scores=_scores(outcomes),
    )


def _scores(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return scores([each.found for each in outcomes])


def _keys(pair: HardPair, options: ExtractionOptions) -> list[Key]:
    """Both pictures with the orientation for the network."""
    orientations = pair.orientations or (None, None)
    if options.orientation is Orientation.NONE:
        orientations = (1, 1)
    if options.orientation is not Orientation.AUTO:
        return list(zip(pair.paths, orientations, strict=True))
    from d2sfm.orientation.find import find_turns

    keys = [
        (path, read_header(path)[1] if orientation is None else orientation)
        for path, orientation in zip(pair.paths, orientations, strict=True)
    ]
    upright = {str(side): upright_array(load_photograph(path), turn) for side, (path, turn) in enumerate(keys)}
    turns = find_turns(list(upright), upright.get, options=options).orientation
    return [(path, joined_orientation(turn, turns[str(side)])) for side, (path, turn) in enumerate(keys)]


def _described(extractor: Extractor, path: Path, orientation: int | None) -> Described:
    with errors_at(path):
        features = extractor.extract(path, orientation=orientation)
    xy = features.keypoints[:, :2]
    is_published = features.convention is Convention.REFERENCE  # which counts from pixel centres by itself
    factor = resize_factor(features.input_size, features.image_size)
    return Described(xy if is_published else hloc_from_image(xy), features.descriptors, factor)


def _sift(path: Path) -> Described:
    grey = cv2.cvtColor(load_photograph(path, grey_range=own_range(path)), cv2.COLOR_RGB2GRAY)
    return Described(*root_sift(grey, SIFT_FEATURES))


def _of_d2(pair: HardPair, described: Sequence[Described], options: PairEvaluationOptions, device: str) -> Outcome:
    a, b = described
    error_px = options.max_error * max(a.factor, b.factor)
    of_matching = MatchingOptions(ratio=options.ratio, device=device)
    matches = mutual_nearest_neighbours(a.descriptors, b.descriptors, of_matching)
    estimate = _estimate(pair, a.xy, b.xy, matches, error_px)
    if options.guided and estimate.matrix is not None:
        matches = _guided(pair, a, b, estimate, error_px)
        estimate = _estimate(pair, a.xy, b.xy, matches, error_px)
    return _outcome(pair, a.xy, b.xy, matches, estimate)


def _of_sift(pair: HardPair, sift: LruCache) -> Iterator[Outcome]:
    """With each ratio and each threshold."""
    a, b = (sift[path] for path in pair.paths)
    for ratio in RATIOS:
        matches = mutual_nearest_neighbours(a.descriptors, b.descriptors, MatchingOptions(ratio=ratio, device="cpu"))
        for error_px in ERRORS_PX:
            yield _outcome(pair, a.xy, b.xy, matches, _estimate(pair, a.xy, b.xy, matches, error_px))


def _guided(pair: HardPair, a: Described, b: Described, estimate: Estimate, error_px: float) -> np.ndarray:
    """Matches, [K, 2], near the geometry of others."""
    from d2sfm.matching.guided import Guide, guided_matches
    from d2sfm.matching.prosac import Relation

    fundamental = estimate.matrix[:3]
    if pair.intrinsics is not None:
        to_a, to_b = map(np.linalg.inv, pair.intrinsics)
        fundamental = to_b.T @ fundamental @ to_a
    positions = {"xy_a": a.xy.astype(np.float64), "xy_b": b.xy.astype(np.float64)}
    guide = Guide(relation=Relation.EPIPOLAR, matrix=fundamental, max_error_px=error_px, **positions)
    return guided_matches(torch.from_numpy(a.descriptors), torch.from_numpy(b.descriptors), guide)[0]


def _estimate(pair: HardPair, xy_a: np.ndarray, xy_b: np.ndarray, matches: np.ndarray, error_px: float) -> Estimate:
    of_a, of_b = xy_a[matches[:, 0]], xy_b[matches[:, 1]]
    if pair.intrinsics is None:
        return fundamental_matrix(of_a, of_b, error_px)
    return essential_matrix(of_a, of_b, pair.intrinsics, error_px)


def _outcome(pair: HardPair, xy_a: np.ndarray, xy_b: np.ndarray, matches: np.ndarray, estimate: Estimate) -> Outcome:
    if pair.intrinsics is None:
        found = share_within(pair.points, estimate.matrix)
    else:
        of_a, of_b = xy_a[matches[:, 0]], xy_b[matches[:, 1]]
        found = pose_error_deg(of_a, of_b, pair.intrinsics, estimate, pair.b_from_a)
    return Outcome(len(matches), int(np.count_nonzero(estimate.inliers)), found)
