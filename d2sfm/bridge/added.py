"""What D2 features add to the pairs of a database: their matches, and matches of the extractor's keypoints found
through these."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.bridge.joint import TwoKinds
from d2sfm.bridge.transfer import transferred
from d2sfm.database import BridgeStore, FeatureStore, MatchStore
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.pair_rows import are_among
from d2sfm.database.rows import UnusableRow, warn_once
from d2sfm.lru import DESCRIPTOR_CACHE_BYTES, LruCache
from d2sfm.matching.epipolar import errors_px
from d2sfm.matching.settings import EXTRACTORS_PX, thresholds_of
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions
from d2sfm.pairs.arrays import in_tiles


def added_pairs(
    database: Path, layer: Path, own_counts: Mapping[int, int], verification: VerificationOptions
) -> Iterator[BridgedPair]:
    """What a layer adds to the pairs of a database that were matched by D2 features.

    own_counts: how many keypoints of the extractor each image has, by image_id. A pair verified by these keeps its
    geometry, and additions come behind its inliers. Others are verified again, with both kinds of matches.
    """
    with BridgeStore(database) as store:
        own_rows = store.own_rows("matches"), store.own_rows("two_view_geometries")
    with FeatureStore(layer) as features:
        thresholds = thresholds_of(features, verification)
    with MatchStore(database) as own, MatchStore(layer) as d2:
        added = _Added(own, d2, own_counts, thresholds.factors)
        for pair in map(tuple, in_tiles(image_pairs(d2.done_pairs(verified=True))).tolist()):
            matches, inliers = (rows.get(int(pair_ids(*pair)), 0) for rows in own_rows)
            try:
                if inliers:
                    found = added.behind(pair, matches, inliers)
                else:
                    found = added.to_unverified(pair, matches, thresholds.of_pair_px(pair), verification)
            except UnusableRow as error:
                warn_once(f"left as it is: {error}")
                continue
            if found is not None:
                yield found


@dataclass(frozen=True)
class _Image:
    """An image with the extractor's keypoints, and D2's behind them.

    first: number of the extractor's keypoints; descriptors: of these, [N, D]; None if there are none. factor: pixels of
    the photograph for one of the network's input.
    """

    view: View
    first: int
    descriptors: np.ndarray | None
    factor: float

    @property
    def nbytes(self) -> int:
        return self.view.nbytes + (0 if self.descriptors is None else self.descriptors.nbytes)

    def in_input(self, rows: np.ndarray | slice) -> np.ndarray:
        """Positions of keypoints in pixels of about the network's input, [M, 2]."""
        return self.view.keypoints[rows].astype(np.float64) / self.factor


class _Added:
    """What the layer adds to pairs of a database, pair by pair."""

    def __init__(self, own: MatchStore, d2: MatchStore, own_counts: Mapping[int, int], factors: Mapping[int, float]):
        self._own, self._d2, self._own_counts, self._factors = own, d2, own_counts, factors
        self._names = own.image_names()
        self._images = LruCache(self._read, DESCRIPTOR_CACHE_BYTES)

    def behind(self, pair: tuple[int, int], matches: int, inliers: int) -> BridgedPair | None:
        """What is added to a pair that has ``matches`` matches and ``inliers`` inliers of the extractor."""
        found = self._d2.inlier_matches(*pair) + self._first(pair)
        own = self._own.matches(*pair)[:matches]
        across = self._across(pair, found, self._own.inlier_matches(*pair)[:inliers])
        added = np.concatenate([across, found])
        if not len(added):
            return None
        return BridgedPair(pair, np.concatenate([across[~are_among(across, own)], found]), added, None)

    def to_unverified(
        self, pair: tuple[int, int], matches: int, limit_px: float, options: VerificationOptions
    ) -> BridgedPair | None:
        """What is added to a pair with ``matches`` matches of the extractor and no geometry.

        limit_px: the largest error of D2's inliers.
        """
        if not matches and not len(self._d2.inlier_matches(*pair)):
            return None
        views = tuple(self._images[image_id].view for image_id in pair)
        of_d2, similarities = self._d2.matches(*pair), self._d2.similarities(*pair)
        similarities = np.zeros(len(of_d2)) if similarities is None else similarities
        is_open = ~are_among(of_d2, self._d2.refuted(*pair))
        own = self._own.matches(*pair)[:matches]
        geometry = TwoKinds(
            views=views,
            names=tuple(self._names[image_id] for image_id in pair),
            first=tuple(self._first(pair).tolist()),
            own=own,
            d2=of_d2[is_open] + self._first(pair),
            similarities=similarities[is_open],
            limit_px=limit_px,
        ).verified(options)
        if geometry is None:
            return None
        are_d2 = (geometry.inlier_matches >= self._first(pair)).all(axis=1)
        found, own_inliers = geometry.inlier_matches[are_d2], geometry.inlier_matches[~are_d2]
        across = self._across(pair, found, own_inliers)
        across = across[errors_px(*views, across, geometry) <= EXTRACTORS_PX]
        geometry.inlier_matches = np.concatenate([own_inliers, across, found])
        return BridgedPair(
            pair, np.concatenate([across[~are_among(across, own)], found]), geometry.inlier_matches, geometry
        )

    def _across(self, pair: tuple[int, int], found: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Matches of the extractor's keypoints found through D2's inliers, of keypoints outside of its own inliers, [M,
        2] uint32."""
        a, b = (self._images[image_id] for image_id in pair)
        across = transferred(
            a.in_input(found[:, 0]),
            b.in_input(found[:, 1]),
            a.in_input(slice(a.first)),
            b.in_input(slice(b.first)),
            a.descriptors,
            b.descriptors,
        ).astype(np.uint32)
        return across[~(np.isin(across[:, 0], own[:, 0]) | np.isin(across[:, 1], own[:, 1]))]

    def _first(self, pair: tuple[int, int]) -> np.ndarray:
        """Indices of the first D2 keypoints, [2] uint32."""
        return np.array([self._own_counts[image_id] for image_id in pair], np.uint32)

    def _read(self, image_id: int) -> _Image:
        first, descriptors = self._own_counts[image_id], self._own.others_descriptors(image_id)
        xy = self._own.keypoints(image_id)[:first] if first else np.zeros((0, 2), np.float32)
        view = View(self._own.camera(image_id), np.concatenate([xy, self._d2.keypoints(image_id)]))
        has_all = descriptors is not None and len(descriptors) >= first
        return _Image(view, first, descriptors[:first] if has_all else None, self._factors.get(image_id, 1.0))
