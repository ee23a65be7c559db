"""What training needs to know of a scene: cameras, points, and how far images see the same; one ``<scene>.npz``.

Reads without pycolmap. The points of all images lie in flat arrays, cut by ``image_ptr``, so the file holds no pickled
object. The layout that the D2-Net authors published is made of pickled dictionaries; it is read on request only.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

import numpy as np

from d2sfm.files import replacing
from d2sfm.text import one_line

_ZIP_MAGIC = b"PK\x03\x04"
_MOST_UNPACKED = 100  # times the bytes of the file: what unpacks to more was made to fill memory
_LONGEST_SHOWN = 200  # characters of an error, which may quote the file
_PUBLISHED_POINTS, _PUBLISHED_DEPTHS = "points3D_id_to_2D", "points3D_id_to_ndepth"
_PUBLISHED_KEYS = (
    *("image_paths", "depth_paths", "intrinsics", "poses", "overlap_matrix", "scale_ratio_matrix", "angles"),
    *("n_points3D", _PUBLISHED_POINTS, _PUBLISHED_DEPTHS),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneInfo:
    """A scene of n images that observe m points in all, rows in ascending image id.

    An image without usable depth keeps its row, its points and its count; its paths are empty strings, its intrinsics,
    poses and normalised depths NaN, its angles -1. Raises ValueError where the arrays don't fit each other.
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
                f"intrinsics or poses of {self.image_names[used & ~whole][0]} are none: expected focal lengths above 0 "
                "with 0 below the diagonal, and 0 0 1 or 0 0 0 1 as last row"
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


def write_scene_info(path: Path, info: SceneInfo) -> None:
    """Write a scene, in place of one that is there; its folder is created, and a killed run leaves no half file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, sync=True) as stream:
        # Uncompressed, to be read at the disk's speed.
        np.savez(stream, **{key: getattr(info, key) for key in SCENE_KEYS})


def read_scene_info(path: Path, *, allow_pickle: bool = False) -> SceneInfo:
    """Read a scene. allow_pickle: also take the published layout, which can run any code that its author hid in it.

    Nothing is unpickled without allow_pickle. The published layout doesn't name images without depth: their names are
    empty. Raises FileNotFoundError where there is no such file, ValueError where it is damaged, is no scene, or has the
    published layout and allow_pickle is not given.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no scene info {path}")
    with path.open("rb") as stream:
        if stream.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            raise ValueError(f"{path} is no scene info: it is not an npz file, or is damaged")
        stream.seek(0)
        try:
            keys = _keys(stream)
        except Exception as error:  # the readers raise what they like on damaged files
            raise _damaged(path, error) from error
        published = _PUBLISHED_POINTS in keys
        expected = _PUBLISHED_KEYS if published else SCENE_KEYS
        missing = [key for key in expected if key not in keys]
        if missing:
            raise ValueError(f"{path} is no scene info: it lacks {', '.join(missing)}")
        if published and not allow_pickle:
            raise ValueError(
                f"{path} has the published layout, whose pickled objects can run code of whoever made the file: "
                "preprocess the scene again, or where you trust the file convert it with "
                "python -m megadepth_utils.convert_scene_info --allow-pickle"
            )
        try:
            arrays = _load(stream, expected, allow_pickle=published)
            arrays = _from_published(arrays) if published else arrays
        except Exception as error:
            raise _damaged(path, error) from error
    try:
        return SceneInfo(**arrays)
    except ValueError as error:
        raise ValueError(f"{path} contradicts itself: {one_line(error, _LONGEST_SHOWN)}") from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged: {one_line(error, _LONGEST_SHOWN)}")


def _keys(stream: BinaryIO) -> list[str]:
    with np.load(stream, allow_pickle=False) as archive:
        return archive.files


def _load(stream: BinaryIO, keys: tuple[str, ...], allow_pickle: bool) -> dict[str, np.ndarray]:
    stream.seek(0)
    with np.load(stream, allow_pickle=allow_pickle) as archive:
        _check_unpacked_size(archive.zip, keys, stream.seek(0, os.SEEK_END))
        arrays = {key: archive[key] for key in keys}
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy gives what is no array as bytes
            raise ValueError(f"{key} is no array")
        if array.dtype.kind == "U":
            array.tolist()  # raises where there is a character that is none
    return {key: array.astype(array.dtype.newbyteorder("="), copy=False) for key, array in arrays.items()}


def _check_unpacked_size(archive: ZipFile, keys: tuple[str, ...], file_bytes: int) -> None:
    names = set(archive.namelist())
    unpacked = sum(archive.getinfo(key if key in names else f"{key}.npy").file_size for key in keys)
    if unpacked > _MOST_UNPACKED * file_bytes:
        raise ValueError(f"{file_bytes} bytes would unpack to {unpacked}")


def _from_published(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our arrays from those of the published layout; the depths that it leaves out become NaN."""
    image_paths, depth_paths = (_texts(arrays[key]) for key in ("image_paths", "depth_paths"))
    without = depth_paths == ""
    angles = arrays["angles"].astype(np.float64)
    angles[without] = angles[:, without] = -1
    ids, positions, depths = [], [], []
    views = zip(arrays[_PUBLISHED_POINTS], arrays[_PUBLISHED_DEPTHS], without, strict=True)
    for position_of, depth_of, has_no_depth in views:
        # A point behind the camera, or without depth in an image that has some, can't be: it is left out.
        ordered = [key for key in sorted(position_of) if has_no_depth or depth_of.get(key, np.nan) > 0]
        ids.append(np.array(ordered, np.int64))
        positions.append(np.array([position_of[key] for key in ordered], np.float64).reshape(-1, 2))
        depths.append(np.array([depth_of.get(key, np.nan) for key in ordered], np.float64))
    lengths = np.array([len(part) for part in ids], np.int64)
    return {
        "image_names": _texts([path.partition("/images/")[2] for path in image_paths]),
        "image_paths": image_paths,
        "depth_paths": depth_paths,
        "intrinsics": _matrices(arrays["intrinsics"], without, 3),
        "poses": _matrices(arrays["poses"], without, 4),
        "overlap_matrix": arrays["overlap_matrix"].astype(np.float64),
        "scale_ratio_matrix": arrays["scale_ratio_matrix"].astype(np.float64),
        "angles": angles,
        "n_points3D": lengths,
        "points3D_ids": np.concatenate([np.zeros(0, np.int64), *ids]),
        "points2D_xy": np.concatenate([np.zeros((0, 2)), *positions]),
        "normalised_depths": np.concatenate([np.zeros(0), *depths]),
        "image_ptr": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }


def _texts(values) -> np.ndarray:
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)


def _matrices(values: np.ndarray, without: np.ndarray, size: int) -> np.ndarray:
    """[n, size, size] float64 of n matrices or None, NaN for images without depth."""
    nothing = np.full((size, size), np.nan)
    matrices = [
        nothing if missing else np.asarray(value, np.float64) for value, missing in zip(values, without, strict=True)
    ]
    return np.array(matrices).reshape(-1, size, size)
