"""Two-view geometry of a pair of images.

With known similarities of the matches it takes three steps. OpenCV's RANSAC samples from the most similar matches
first, and finds those that agree with one fundamental matrix ten times as fast as COLMAP's. The test of chance ends
hopeless pairs. COLMAP's RANSAC then gets mostly true matches and needs few trials: it uses the cameras, and for known
cameras rotations from a fundamental matrix alone are twice as wrong.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pycolmap

from d2sfm.matching.chance import chance_explains, chance_explains_known, chance_explains_plane
from d2sfm.matching.epipolar import geometry_of_poses
from d2sfm.matching.prosac import Relation, agreeing_with_one, without_distortion
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions

# Of matches that agree already. COLMAP's least number, 100, took most of the time and found no other geometries.
MOST_TRIALS, LEAST_TRIALS = 500, 30
LEAST_BASELINE = 1e-9  # of the distances to the origin: below that, rounding decides where the epipole is

_Kind = pycolmap.TwoViewGeometryConfiguration
# Kinds of geometries whose inliers are those of a fundamental matrix, if no fewer than of a homography.
FUNDAMENTAL = (_Kind.UNCALIBRATED, _Kind.PLANAR, _Kind.PANORAMIC, _Kind.PLANAR_OR_PANORAMIC)


@dataclass(frozen=True)
class Verification:
    """The geometry of a pair, or why it has none, in words; empty with a geometry, or simply too few matches."""

    geometry: pycolmap.TwoViewGeometry
    refused: str = ""


def verify(
    a: View,
    b: View,
    matches: np.ndarray,
    options: VerificationOptions,
    *,
    similarities: np.ndarray | None = None,
    max_error_px: float | None = None,
    names: tuple[str, str] = ("", ""),
) -> Verification:
    """The epipolar geometry or homography with most agreeing matches, and these matches.

    matches: [K, 2], indices of keypoints of a and b; K may be 0.
    similarities: [K], of the descriptors of each match; None if they are not known.
    max_error_px: of inliers, in pixels of the photographs, see ``Thresholds`` (default: options.max_error).
    names: of the two images; with options.seed they make the seed of RANSAC, see ``pair_seed``.

    The geometry is of type DEGENERATE without inlier matches if fewer than options.min_num_inliers matches agree (or
    are given), or chance explains their number. Its relative pose is left open: both mappers of pycolmap compute it for
    the pairs that they need. Without similarities COLMAP's RANSAC has all matches, and nothing is refused: mapping
    tests such pairs, see ``chance.chance_pairs``. It also has all matches of panoramas and lenses of strong distortion,
    see ``prosac.without_distortion``; chance is tested then. Where both poses are known, the geometry is theirs
    without RANSAC; chance is tested. Two images of one place have no epipolar geometry: RANSAC verifies them.
    Raises ValueError if shapes do not fit, or a match refers to a missing keypoint.
    """
    keypoints_a, keypoints_b, matches = (np.asarray(array) for array in (a.keypoints, b.keypoints, matches))
    for array in (keypoints_a, keypoints_b):
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"keypoints have shape {array.shape}, expected (N, 2)")
    # pycolmap reads past the end of its keypoints for a match that is out of range, which ends the process.
    require_matches(matches, len(keypoints_a), len(keypoints_b))
    if similarities is not None and np.shape(similarities) != matches.shape[:1]:
        raise ValueError(f"similarities have shape {np.shape(similarities)}, expected ({len(matches)},)")
    pair = _pair(a, b, matches, options, options.max_error if max_error_px is None else max_error_px, names)
    if pair.b_from_a is not None:
        return pair.posed()
    return Verification(pair.estimated()) if similarities is None else pair.tested(np.asarray(similarities))


def estimate_again(
    a: View,
    b: View,
    matches: np.ndarray,
    options: VerificationOptions,
    *,
    max_error_px: float,
    names: tuple[str, str] = ("", ""),
) -> pycolmap.TwoViewGeometry:
    """COLMAP's estimate from matches that agree as a rule, with few trials, or the geometry of known poses; nothing is
    refused.

    Arguments and errors are those of ``verify``.
    """
    require_matches(matches, len(a.keypoints), len(b.keypoints))
    pair = _pair(a, b, matches, options, max_error_px, names)
    return pair.estimated(matches, MOST_TRIALS, LEAST_TRIALS) if pair.b_from_a is None else pair.geometry_of_poses()


def _pair(
    a: View, b: View, matches: np.ndarray, options: VerificationOptions, max_error_px: float, names: tuple[str, str]
) -> "_Pair":
    return _Pair(
        cameras=(a.camera, b.camera),
        keypoints=(np.asarray(a.keypoints), np.asarray(b.keypoints)),
        b_from_a=_relative_pose(a, b),
        matches=matches,
        options=options,
        max_error_px=max_error_px,
        seed=pair_seed(options.seed, *names),
    )


def _relative_pose(a: View, b: View) -> pycolmap.Rigid3d | None:
    """From a to b; None where one is not known, and for images of one place."""
    if a.cam_from_world is None or b.cam_from_world is None:
        return None
    b_from_a = b.cam_from_world * a.cam_from_world.inverse()
    size = np.linalg.norm(a.cam_from_world.translation) + np.linalg.norm(b.cam_from_world.translation)
    return b_from_a if np.linalg.norm(b_from_a.translation) > LEAST_BASELINE * size else None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What ``verify`` was given."""

    cameras: tuple[pycolmap.Camera, pycolmap.Camera]
    keypoints: tuple[np.ndarray, np.ndarray]
    b_from_a: pycolmap.Rigid3d | None
    matches: np.ndarray
    options: VerificationOptions
    max_error_px: float
    seed: int

    def posed(self) -> Verification:
        """The geometry of the known poses, unless too few matches agree with it, or no more than by chance."""
        geometry = self.geometry_of_poses()
        inliers = len(geometry.inlier_matches)
        if inliers < self.options.min_num_inliers:
            return Verification(_none())
        if chance_explains_known(self.cameras, len(self.matches), inliers, self.max_error_px):
            return self._refused(inliers)
        return Verification(geometry)

    def geometry_of_poses(self) -> pycolmap.TwoViewGeometry:
        """That of the known poses, with all matches that agree with it."""
        a, b = map(View, self.cameras, self.keypoints)
        return geometry_of_poses(a, b, self.b_from_a, self.matches, self.max_error_px)

    def tested(self, similarities: np.ndarray) -> Verification:
        """The geometry by the three steps, or without the first for cameras without undistorted positions."""
        flat = [
            without_distortion(camera, xy, self.max_error_px)
            for camera, xy in zip(self.cameras, self._positions(), strict=True)
        ]
        if len(self.matches) <= Relation.EPIPOLAR.value or any(xy is None for xy in flat):
            geometry = self.estimated()
            inliers = len(geometry.inlier_matches)
            is_chance = inliers and chance_explains(self.cameras, len(self.matches), inliers, self.max_error_px)
            return self._refused(inliers) if is_chance else Verification(geometry)
        agree, fundamental = self._agreeing(Relation.EPIPOLAR, flat, similarities)
        inliers = np.count_nonzero(agree)
        if inliers < self.options.min_num_inliers:
            return Verification(_none())
        if not chance_explains(self.cameras, len(self.matches), inliers, self.max_error_px):
            geometry = self.estimated(self.matches[agree], MOST_TRIALS, LEAST_TRIALS)
            is_flat = all(np.array_equal(xy, xy_flat) for xy, xy_flat in zip(self._positions(), flat, strict=True))
            if geometry.config in FUNDAMENTAL and is_flat and len(geometry.inlier_matches) < inliers:
                # Both are fundamental matrices of the same matches, and COLMAP's few trials found the worse one.
                geometry.F, geometry.inlier_matches = fundamental, self.matches[agree].astype(np.uint32)
            return Verification(geometry)
        agree, _ = self._agreeing(Relation.PLANE, flat, similarities)
        on_plane = [xy[agree] for xy in flat]
        if np.count_nonzero(agree) < self.options.min_num_inliers or chance_explains_plane(
            self.cameras, len(self.matches), *on_plane, self.max_error_px
        ):
            return self._refused(inliers)
        return Verification(self.estimated(self.matches[agree], MOST_TRIALS, LEAST_TRIALS))

    def _positions(self) -> list[np.ndarray]:
        """Of the matches in both photographs, [K, 2] each."""
        return [xy[of_image] for xy, of_image in zip(self.keypoints, self.matches.T, strict=True)]

    def _agreeing(
        self, relation: Relation, flat: list[np.ndarray], similarities: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        return agreeing_with_one(
            relation,
            *flat,
            similarities,
            self.max_error_px,
            max_num_trials=self.options.max_num_trials,
            min_inlier_ratio=self.options.min_inlier_ratio,
            seed=self.seed,
        )

    def _refused(self, inliers: int) -> Verification:
        reason = f"{inliers} of {len(self.matches)} matches agree, no more than by chance"
        return Verification(_none(), reason)

    def estimated(
        self, matches: np.ndarray | None = None, most_trials: int | None = None, least_trials: int | None = None
    ) -> pycolmap.TwoViewGeometry:
        """COLMAP's estimate from these matches (default: all) with these numbers of trials (default: the options')."""
        settings = pycolmap.TwoViewGeometryOptions()
        settings.min_num_inliers = self.options.min_num_inliers
        ransac = settings.ransac
        ransac.max_error = self.max_error_px
        ransac.min_inlier_ratio = self.options.min_inlier_ratio
        ransac.max_num_trials = min(self.options.max_num_trials, most_trials or self.options.max_num_trials)
        ransac.min_num_trials = min(ransac.min_num_trials, ransac.max_num_trials, least_trials or ransac.min_num_trials)
        ransac.random_seed = self.seed
        matches = (self.matches if matches is None else matches).astype(np.uint32)
        (camera_a, camera_b), (xy_a, xy_b) = self.cameras, (xy.astype(np.float64) for xy in self.keypoints)
        return pycolmap.estimate_two_view_geometry(camera_a, xy_a, camera_b, xy_b, matches, settings)


def _none() -> pycolmap.TwoViewGeometry:
    geometry = pycolmap.TwoViewGeometry()
    geometry.config = int(_Kind.DEGENERATE)
    return geometry


def require_matches(matches: np.ndarray, count_a: int, count_b: int) -> None:
    """ValueError if matches are not [K, 2], or refer to keypoints beyond these counts."""
    if matches.ndim != 2 or matches.shape[1] != 2:
        raise ValueError(f"matches have shape {matches.shape}, expected (N, 2)")
    for column, count in zip(matches.T, (count_a, count_b), strict=True):
        if len(column) and not 0 <= column.min() <= column.max() < count:
            raise ValueError(f"matches refer to keypoints {column.min()} to {column.max()}, but there are {count}")


def pair_seed(seed: int, name_a: str, name_b: str) -> int:
    """Seed of RANSAC for a pair of images: the first 31 bits of SHA-256 of "seed, name of a, name of b" (NUL between).

    It depends on nothing else, so a pair's geometry does not depend on other pairs or their order.
    """
    digest = hashlib.sha256("\0".join((str(seed), name_a, name_b)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
