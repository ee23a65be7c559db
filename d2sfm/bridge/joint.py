"""D2's matches and the extractor's verified together, each kind within its own threshold."""

from dataclasses import dataclass

import numpy as np
import pycolmap

from d2sfm.matching.chance import chance_explains
from d2sfm.matching.epipolar import errors_px
from d2sfm.matching.settings import EXTRACTORS_PX
from d2sfm.matching.verification import verify
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions


@dataclass(frozen=True, kw_only=True)
class TwoKinds:
    """A pair with matches of the extractor's keypoints and of D2's, [M, 2] each.

    views: with the extractor's keypoints, and D2's behind them; first: number of the extractor's in each image.
    similarities: of D2's matches, [M]; limit_px: the largest error of their inliers.
    """

    views: tuple[View, View]
    names: tuple[str, str]
    first: tuple[int, int]
    own: np.ndarray
    d2: np.ndarray
    similarities: np.ndarray
    limit_px: float

    def verified(self, options: VerificationOptions) -> pycolmap.TwoViewGeometry | None:
        """The geometry with most agreeing matches, of both kinds together or of D2's alone; None if there is none."""
        if not len(self.d2):
            return None
        alone = self._verify(self.d2, self.similarities, self.limit_px, options)
        together = self._together(options) if len(self.own) else alone
        best = max(alone, together, key=lambda geometry: len(geometry.inlier_matches))
        return best if len(best.inlier_matches) else None

    def _together(self, options: VerificationOptions) -> pycolmap.TwoViewGeometry:
        """Inliers of each kind within its threshold; none if they are too few."""
        # Of the extractor's only the matches are known, not their distances.
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
