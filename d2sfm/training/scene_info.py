"""Data of a scene for training: cameras, points, and the overlap of images."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneInfo:
    """A scene of n images that observe m points in all, rows in ascending image id.

    An image without usable depth keeps its row, its points and its count; its paths are empty strings, its intrinsics,
    poses and normalised depths NaN, its angles -1. Raises ValueError if the arrays don't fit each other.
    """

    image_names: np.ndarray  # [n] str, as in the model
    image_paths: np.ndarray  # [n] str, relative to the dataset's root
    depth_paths: np.ndarray  # [n] str, relative to the dataset's root; .h5 is MegaDepth's, .bin COLMAP's (any unit)
    intrinsics: np.ndarray  # [n, 3, 3] float64, pixels of the image, COLMAP's frame
    poses: np.ndarray  # [n, 4, 4] float64, cam_from_world
    overlap_matrix: np.ndarray  # [n, n] float64, share of i's points that j sees; -1 on the diagonal and without depth
    scale_ratio_matrix: np.ndarray  # [n, n] float64, least ratio >= 1 of normalised depths; -1 also without common ones
    angles: np.ndarray  # [n, n] float64, degrees between principal axes
    n_points3D: np.ndarray  # [n] int64, distinct points of each image
    points3D_ids: np.ndarray  # [m] int64, ascending within an image
    points2D_xy: np.ndarray  # [m, 2] float64, pixels, COLMAP's frame
    normalised_depths: np.ndarray  # [m] float64, depth over the mean focal length in pixels, above 0
    image_ptr: np.ndarray  # [n + 1] int64, the points of image k are rows image_ptr[k] to image_ptr[k + 1]

    def __post_init__(self):
        n, m = np.size(self.image_names), np.size(self.points3D_ids)
        text, real, whole = np.str_, np.float64, np.int64
        for name, shape, kind in (
            ("image_names", (n,), text),
            ("image_paths", (n,), text),
            ("depth_paths", (n,), text),
            ("intrinsics", (n, 3, 3), real),
            ("poses", (n, 4, 4), real),
            ("overlap_matrix", (n, n), real),
            ("scale_ratio_matrix", (n, n), real),
            ("angles", (n, n), real),
            ("n_points3D", (n,), whole),
            ("points3D_ids", (m,), whole),
            ("points2D_xy", (m, 2), real),
            ("normalised_depths", (m,), real),
            ("image_ptr", (n + 1,), whole),
        ):
            array = getattr(self, name)
            if array.shape != shape or array.dtype.type is not kind:
                raise ValueError(f"{name} must be {kind.__name__} {shape}, found {array.dtype} {array.shape}")
        self._check_points()
        self._check_images()

    def _check_points(self) -> None:
        lengths = np.diff(self.image_ptr)
        if self.image_ptr[0] != 0 or self.image_ptr[-1] != self.points3D_ids.size or np.any(lengths < 0):
            raise ValueError(f"image_ptr must rise from 0 to the {self.points3D_ids.size} observations")
        if not np.array_equal(lengths, self.n_points3D):
            raise ValueError("n_points3D differs from the number of points between the marks of image_ptr")
        row = np.repeat(np.arange(lengths.size), lengths)
        if np.any((np.diff(self.points3D_ids) <= 0) & (np.diff(row) == 0)):
            raise ValueError("points3D_ids must ascend within an image, each id once")

    def _check_images(self) -> None:
        used = self.has_depth
        if not np.array_equal(self.image_paths != "", used):
            raise ValueError("image_paths must be empty exactly where depth_paths are")
        for name in ("intrinsics", "poses"):
            finite = np.isfinite(getattr(self, name)).all(axis=(1, 2))
            if np.any(used & ~finite):
                raise ValueError(f"{name} of {self.image_names[used & ~finite][0]} are not finite")
        self._check_cameras(used)
        seen = np.isfinite(self.points2D_xy).all(axis=1) | ~np.repeat(used, self.n_points3D)
        if not seen.all():
            raise ValueError(f"points2D_xy must be finite, found {np.sum(~seen)} that are not")
        depths = self.normalised_depths
        bad = ~(np.isfinite(depths) & (depths > 0)) & np.repeat(used, self.n_points3D)
        if bad.any():
            first = np.searchsorted(self.image_ptr, np.flatnonzero(bad)[0], side="right") - 1
            raise ValueError(
                f"normalised_depths must be above 0, found {bad.sum()} that are not, "
                f"the first in {self.image_names[first]}"
            )

    def _check_cameras(self, used: np.ndarray) -> None:
        focal = self.intrinsics[:, [0, 1], [0, 1]]
        whole = (focal > 0).all(axis=1) & (self.intrinsics[:, 1, 0] == 0)
        whole &= (self.intrinsics[:, 2] == (0, 0, 1)).all(axis=1) & (self.poses[:, 3] == (0, 0, 0, 1)).all(axis=1)
        if np.any(used & ~whole):
            raise ValueError(
                f"intrinsics or poses of {self.image_names[used & ~whole][0]} are invalid: expected focal lengths "
                "above 0 with 0 below the diagonal, and 0 0 1 or 0 0 0 1 as last row"
            )

    @property
    def has_depth(self) -> np.ndarray:
        """[n] bool: whether the image has usable depth, and so can be trained on."""
        return self.depth_paths != ""

    def points(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The points of image ``index`` (0 to n - 1), as views: ids [k], xy [k, 2] and normalised depths [k]."""
        if not 0 <= index < self.n_points3D.size:
            raise ValueError(f"index must be between 0 and {self.n_points3D.size - 1}, found {index}")
        rows = slice(self.image_ptr[index], self.image_ptr[index + 1])
        return self.points3D_ids[rows], self.points2D_xy[rows], self.normalised_depths[rows]


SCENE_KEYS = tuple(field.name for field in fields(SceneInfo))
