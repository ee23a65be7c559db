"""Options of matching and verification."""

from dataclasses import dataclass

from d2sfm.options.fields import Options, check_seed, device_option, option


@dataclass(frozen=True, kw_only=True)
class MatchingOptions(Options):
    """Mutual nearest neighbours, and optional limits on them (all off: each makes D2's matches worse)."""

    TITLE = "mutual nearest neighbours (limits are off, as each makes D2's matches worse)"

    ratio: float | None = option(None, help="largest ratio of the best to the second best distance, both ways")
    max_distance: float | None = option(None, help="largest Euclidean distance of unit descriptors, 0 to 2")
    min_similarity: float | None = option(None, help="smallest cosine similarity of descriptors, -1 to 1")
    guided: bool = option(
        False,
        help="match verified pairs again near their epipolar lines or homography, then estimate the geometry again; "
        "not for panoramas and most fisheyes",
    )
    device: str = device_option()

    def _check(self):
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be above 0 and at most 1, found {self.ratio}")
        if self.max_distance is not None and not 0 <= self.max_distance <= 2:
            raise ValueError(f"max_distance must lie from 0 to 2 (unit descriptors), found {self.max_distance}")
        if self.min_similarity is not None and not -1 <= self.min_similarity <= 1:
            raise ValueError(f"min_similarity must lie from -1 to 1, found {self.min_similarity}")


@dataclass(frozen=True, kw_only=True)
class VerificationOptions(Options):
    """Two-view geometry of image pairs.

    D2 matches hold many outliers. Where one match in ten is true, COLMAP's 0.25 and 10000 trials found 5 of 16 planes
    seen by cameras of unknown focal length, these settings 14. Matches sorted by similarity, for which a part of the
    trials is enough (``prosac.SHARE_OF_TRIALS``), gave 15 or 16 where that of true ones is higher by half a standard
    deviation or a whole one, as D2's are, 11 where it says nothing: with half of the trials for planes 13, 16 and 10,
    so 20000 stay. Of 45 pairs of a church in random order, 50000 or 100000 trials found
    at most one more, in two and four times the time. max_error is wide because two keypoints, each a few pixels off,
    make a match: mapping of the church succeeded in 11 of 20 starts with 8, 7 with 6; where cameras are known it does
    no harm, as mapping filters with tighter thresholds. min_num_inliers is COLMAP's.
    """

    TITLE = "two-view geometry of image pairs"

    max_error: float = option(8.0, metavar="PX", help="largest epipolar error in pixels of the network input")
    min_inlier_ratio: float = option(0.1, help="inlier ratio for which RANSAC plans its trials")
    max_num_trials: int = option(20000, help="most RANSAC trials for a pair")
    min_num_inliers: int = option(15, help="fewest inliers of a verified pair")
    seed: int = option(0, help="seed of RANSAC; the same seed gives the same geometries")

    def _check(self):
        self._require_above_zero("max_error")
        if not 0 < self.min_inlier_ratio <= 1:
            raise ValueError(f"min_inlier_ratio must be above 0 and at most 1, found {self.min_inlier_ratio}")
        for name in ("max_num_trials", "min_num_inliers"):
            if not 1 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be 1 or more (32 bits), found {getattr(self, name)}")
        check_seed(self.seed)
