"""Accuracy of matches of pictures of a plane, by D2-Net's protocol on HPatches: all mutual nearest neighbours.

d2sfm evaluate hpatches ROOT
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from d2sfm.coordinates import hloc_from_image
from d2sfm.evaluation.homographies import ACCURACY_PX, estimated, pair_figures
from d2sfm.evaluation.hpatches_result import PLAIN, REFINED, SIFT, HPatchesEvaluation, Method, SequenceFigures
from d2sfm.evaluation.root_sift import ERRORS_PX, RATIOS, root_sift
from d2sfm.evaluation.sequences import PictureSequence, find_sequences
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import STRETCH
from d2sfm.localization.query import Query, read_query
from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.options import ComparisonOptions, Convention, ExtractionOptions, MatchingOptions, Preprocessing, Stretch
from d2sfm.photographs.reading import load_photograph
from d2sfm.progress import Bar
from d2sfm.refinement.refine_matches import align_matches
from d2sfm.text import errors_at

logger = logging.getLogger(__name__)


def evaluate_hpatches(
    root: Path,
    *,
    options: ExtractionOptions | None = None,
    comparison: ComparisonOptions | None = None,
    only: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    progress: bool = False,
) -> HPatchesEvaluation:
    """Evaluate features on all sequences in a folder, see ``find_sequences``.

    Keypoints in the ``colmap`` convention are moved by half a pixel into the homographies' frame, where pixel centres
    are integers; those of the ``reference`` convention stay as they are, as in the published evaluation, and are not
    refined. Only matches that agree with a homography estimated from all are refined; all count.

    Raises as ``find_sequences`` and ``Extractor``.
    """
    sequences = find_sequences(root, only, leave_out)
    options, comparison = options or ExtractionOptions(), comparison or ComparisonOptions()
    if comparison.refine and options.convention is Convention.REFERENCE:
        logger.info("matches are not refined: that needs --convention colmap")
        comparison = replace(comparison, refine=False)
    return HPatchesEvaluation(root=Path(root), methods=_methods(sequences, options, comparison, progress))


def accuracy_of_weights(
    root: Path, preprocessing: Preprocessing, device: str = "auto"
) -> Callable[[Path], dict[str, float]]:
    """A function that gives the accuracy of unrefined matches, at 3 px and so on, of the weights in a file.

    The sequences are read, and their errors raised, at once: see ``find_sequences``.
    """
    sequences = find_sequences(root)

    def accuracy(weights: Path) -> dict[str, float]:
        options = ExtractionOptions(weights=str(weights), preprocessing=preprocessing, device=device)
        [plain] = _methods(sequences, options, ComparisonOptions(refine=False, sift=False), progress=False)
        return {
            f"{group} {limit} px": figures.accuracy[ACCURACY_PX.index(limit)]
            for group, figures in plain.groups.items()
            for limit in (1, 3, 5, 10)
        }

    return accuracy


def _methods(
    sequences: Sequence[PictureSequence], options: ExtractionOptions, comparison: ComparisonOptions, progress: bool
) -> tuple[Method, ...]:
    extractor, found, sift = Extractor(options), defaultdict(dict), defaultdict(dict)
    for sequence in Bar(sequences, desc="evaluating", unit="sequence", disable=not progress, leave=False):
        for name, figures in _of_d2(extractor, sequence, comparison).items():
            found[name][sequence.name] = figures
        if comparison.sift:
            for setting, figures in _of_sift(sequence, options.device).items():
                sift[setting][sequence.name] = figures
    errors_px = {PLAIN: comparison.max_error, REFINED: comparison.refined_error}
    methods = [Method.of(name, errors_px[name], None, figures) for name, figures in found.items()]
    return (*methods, *_chosen(sift))


def _of_d2(
    extractor: Extractor, sequence: PictureSequence, comparison: ComparisonOptions
) -> dict[str, SequenceFigures]:
    a, features, found = _seen(extractor, sequence.first), [], defaultdict(list)
    features.append(len(a.features))
    for path, truth in sequence.others:
        b = _seen(extractor, path)
        features.append(len(b.features))
        of_device = MatchingOptions(device=extractor.options.device)
        matches = mutual_nearest_neighbours(a.features.descriptors, b.features.descriptors, of_device)
        xy_a, xy_b = (_positions(each)[rows] for each, rows in zip((a, b), matches.T, strict=True))
        pair = truth, a.features.image_size
        found[PLAIN].append(pair_figures(xy_a, xy_b, *pair, comparison.max_error * b.factor))
        if comparison.refine:
            agree = estimated(xy_a, xy_b, comparison.max_error * b.factor)[1]
            xy_b[agree] = hloc_from_image(align_matches(a, b, matches[agree]))
            found[REFINED].append(pair_figures(xy_a, xy_b, *pair, comparison.refined_error * b.factor))
    return {name: SequenceFigures(features, pairs) for name, pairs in found.items()}


def _seen(extractor: Extractor, path: Path) -> Query:
    stretch = Stretch.NONE if extractor.options.stretch is Stretch.NONE else Stretch.IMAGE
    with errors_at(path):
        return read_query(extractor, path, json.dumps({STRETCH: stretch}))


def _positions(seen: Query) -> np.ndarray:
    """Keypoints with pixel centres at integers, [N, 2] float64."""
    xy = seen.features.keypoints[:, :2].astype(np.float64)
    return hloc_from_image(xy) if seen.features.convention is Convention.COLMAP else xy


Setting = tuple[float | None, float]  # ratio of distances, and error of the homography in pixels


def _of_sift(sequence: PictureSequence, device: str) -> Mapping[Setting, SequenceFigures]:
    """RootSIFT with each ratio and each error of the homography."""
    (size, xy_a, descriptors_a), found = _sift(sequence.first), defaultdict(list)
    features = [len(xy_a)]
    for path, truth in sequence.others:
        _, xy_b, descriptors_b = _sift(path)
        features.append(len(xy_b))
        for ratio in RATIOS:
            options = MatchingOptions(ratio=ratio, device=device)
            matches = mutual_nearest_neighbours(descriptors_a, descriptors_b, options)
            matched = xy_a[matches[:, 0]], xy_b[matches[:, 1]]
            for error in ERRORS_PX:
                found[ratio, error].append(pair_figures(*matched, truth, size, error))
    return {setting: SequenceFigures(features, pairs) for setting, pairs in found.items()}


def _sift(path: Path) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    picture = load_photograph(path)
    return (picture.shape[1], picture.shape[0]), *root_sift(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def _chosen(sift: Mapping[Setting, Mapping[str, SequenceFigures]]) -> Iterator[Method]:
    """RootSIFT with all mutual matches, and with the best ratio if that is another.

    The best has most correct homographies on these pairs, within 1, 3 and 5 px together, which favours RootSIFT.
    """
    methods = [Method.of(SIFT, error, ratio, figures) for (ratio, error), figures in sift.items()]
    if methods:
        mutual = max((each for each in methods if each.ratio is None), key=Method.homographies)
        best = max(methods, key=Method.homographies)
        yield mutual
        if best.homographies() > mutual.homographies():
            yield best
