"""Two-view geometry of a pair of images, by COLMAP's RANSAC."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.options import VerificationOptions


class View(NamedTuple):
    """What verification needs of an image: its camera, and x, y of its keypoints, [N, 2] float32 in COLMAP's frame."""

    camera: pycolmap.Camera
    keypoints: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.keypoints.nbytes


@dataclass(frozen=True)
class Verification:
    """The geometry of a pair, and why it has none, in plain English: empty where it has one or just too few matches."""

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
    """The epipolar geometry or homography that most matches agree with, and the matches that do.

    matches: [K, 2], indices of keypoints of a and b; K may be 0.
    similarities: [K], of the descriptors of each match; None where they are not known.
    max_error_px: of inliers, in pixels of the photographs, see ``pair_threshold_px`` (default: options.max_error).
    names: of the two images; with options.seed they make the seed of RANSAC, see ``pair_seed``.

    The geometry is of type DEGENERATE without inlier matches where fewer than options.min_num_inliers matches agree
    (or are given). Its relative pose is left open: both mappers of pycolmap compute it for the pairs that they need.
    Raises ValueError where shapes do not fit, or a match names a keypoint that is not there.
    """
    keypoints_a, keypoints_b, matches = (np.asarray(array) for array in (a.keypoints, b.keypoints, matches))
    for array in (keypoints_a, keypoints_b):
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"keypoints have shape {array.shape}, expected (N, 2)")
    # pycolmap reads past the end of its keypoints for a match that is out of range, which ends the process.
    require_matches(matches, len(keypoints_a), len(keypoints_b))
    settings = pycolmap.TwoViewGeometryOptions()
    settings.min_num_inliers = options.min_num_inliers
    settings.ransac.max_error = options.max_error if max_error_px is None else max_error_px
    settings.ransac.min_inlier_ratio = options.min_inlier_ratio
    settings.ransac.max_num_trials = options.max_num_trials
    settings.ransac.min_num_trials = min(settings.ransac.min_num_trials, options.max_num_trials)
    settings.ransac.random_seed = pair_seed(options.seed, *names)
    views = a.camera, keypoints_a.astype(np.float64), b.camera, keypoints_b.astype(np.float64)
    return Verification(pycolmap.estimate_two_view_geometry(*views, matches.astype(np.uint32), settings))


def require_matches(matches: np.ndarray, count_a: int, count_b: int) -> None:
    """ValueError where matches are not [K, 2], or name keypoints that are not among so many."""
    if matches.ndim != 2 or matches.shape[1] != 2:
        raise ValueError(f"matches have shape {matches.shape}, expected (N, 2)")
    for column, count in zip(matches.T, (count_a, count_b), strict=True):
        if len(column) and not 0 <= column.min() <= column.max() < count:
            raise ValueError(f"matches name keypoints {column.min()} to {column.max()} of {count}")


def pair_seed(seed: int, name_a: str, name_b: str) -> int:
    """Seed of RANSAC for a pair of images: the first 31 bits of SHA-256 of "seed, name of a, name of b" (NUL between).

    It depends on nothing else, so a pair's geometry is the same in whatever company and order it is verified.
    """
    digest = hashlib.sha256("\0".join((str(seed), name_a, name_b)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
