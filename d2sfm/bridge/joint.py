"""D2 matches and those of the extractor verified together, each kind within its own threshold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.bridge.apart import EXTRACTORS_PX
from d2sfm.database import BridgeStore, FeatureStore, MatchStore
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.matching.chance import chance_explains
from d2sfm.matching.epipolar import errors_px
from d2sfm.matching.settings import pair_threshold_px, thresholds_of
from d2sfm.matching.verification import View, verify
from d2sfm.options import VerificationOptions


@dataclass(frozen=True, kw_only=True)
class TwoKinds:
    """A pair with matches of the extractor's keypoints and of D2's, [M, 2] each.

    views: with the extractor's keypoints, and D2's behind them; first: how many of each image are the extractor's.
    similarities: of D2's matches, [M]; limit_px: of their errors.
    """

    views: tuple[View, View]
    names: tuple[str, str]
    first: tuple[int, int]
    own: np.ndarray
    d2: np.ndarray
    similarities: np.ndarray
    limit_px: float

    def verified(self, options: VerificationOptions) -> pycolmap.TwoViewGeometry | None:
        """The geometry that most agree with, of both kinds together or of D2's alone; None where there is none."""
        if not len(self.d2):
            return None
        alone = self._verify(self.d2, self.similarities, self.limit_px, options)
        together = self._together(options) if len(self.own) else alone
        best = max(alone, together, key=lambda geometry: len(geometry.inlier_matches))
        return best if len(best.inlier_matches) else None

    def _together(self, options: VerificationOptions) -> pycolmap.TwoViewGeometry:
        """Inliers are those of each kind that are within its threshold; none where they are too few then."""
        # Of the extractor's nothing is known but that it has matched them.
        similarities = np.concatenate([np.full(len(self.own), np.median(self.similarities)), self.similarities])
        matches, largest_px = np.concatenate([self.own, self.d2]), max(self.limit_px, EXTRACTORS_PX)
        geometry = self._verify(matches, similarities, largest_px, options)
        inliers = geometry.inlier_matches
        if not len(inliers):
            return geometry
        limits = np.where((inliers < self.first).all(axis=1), EXTRACTORS_PX, self.limit_px)
        inliers = inliers[errors_px(*self.views, inliers, geometry) <= limits]
        cameras = [view.camera for view in self.views]
        are_few = len(inliers) < options.min_num_inliers
        if are_few or chance_explains(cameras, len(matches), len(inliers), largest_px):
            return pycolmap.TwoViewGeometry()
        geometry.inlier_matches = inliers
        return geometry

    def _verify(
        self, matches: np.ndarray, similarities: np.ndarray, limit_px: float, options: VerificationOptions
    ) -> pycolmap.TwoViewGeometry:
        given = {"similarities": similarities, "max_error_px": limit_px, "names": self.names}
        return verify(*self.views, matches, options, **given).geometry


def added_pairs(
    database: Path, layer: Path, own_counts: Mapping[int, int], verification: VerificationOptions
) -> Iterator[BridgedPair]:
    """What a layer adds to the pairs of a database that D2 features have matched.

    own_counts: of the extractor's keypoints, by image_id. A pair that these have verified keeps its geometry, and the
    inliers of the layer's own come behind its inliers. Others are verified anew, with both kinds of matches.
    """
    with BridgeStore(database) as store:
        matches, inliers = store.own_rows("matches"), store.own_rows("two_view_geometries")
    with FeatureStore(layer) as features:
        thresholds, factors = thresholds_of(features, verification), features.resize_factors()
    with MatchStore(database) as own, MatchStore(layer) as d2:
        names = own.image_names()
        for pair in map(tuple, image_pairs(d2.done_pairs(verified=True)).tolist()):
            pair_id, first = int(pair_ids(*pair)), tuple(own_counts[image_id] for image_id in pair)
            if inliers.get(pair_id):
                more = d2.inlier_matches(*pair) + np.array(first, np.uint32)
                if len(more):
                    yield BridgedPair(pair, more, more, None)
                continue
            of_pair = d2.matches(*pair) + np.array(first, np.uint32)
            similarities = d2.similarities(*pair)
            both = TwoKinds(
                views=tuple(_view(own, d2, image_id, count) for image_id, count in zip(pair, first, strict=True)),
                names=tuple(names[image_id] for image_id in pair),
                first=first,
                own=own.matches(*pair)[: matches.get(pair_id, 0)],
                d2=of_pair,
                similarities=np.zeros(len(of_pair)) if similarities is None else similarities,
                limit_px=pair_threshold_px(thresholds.of_pair(pair), factors, pair),
            )
            if (geometry := both.verified(verification)) is not None:
                found = geometry.inlier_matches
                yield BridgedPair(pair, found[(found >= first).all(axis=1)], found, geometry)


def _view(own: MatchStore, d2: MatchStore, image_id: int, count: int) -> View:
    """An image with the extractor's keypoints, so many, and those of the layer behind them."""
    xy = own.keypoints(image_id)[:count] if count else np.zeros((0, 2), np.float32)
    return View(own.camera(image_id), np.concatenate([xy, d2.keypoints(image_id)]))
