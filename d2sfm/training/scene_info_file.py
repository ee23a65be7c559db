"""Scene info on disk, one ``<scene>.npz``.

The points of all images lie in flat arrays, cut by ``image_ptr``, so the file holds no pickled object. The layout that
the D2-Net authors published is made of pickled dictionaries; it is read on request only.
"""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from d2sfm.files import check_archive, replacing
from d2sfm.text import one_line
from d2sfm.training.scene_info import SCENE_KEYS, SceneInfo

_ZIP_MAGIC = b"PK\x03\x04"
_LONGEST_SHOWN = 200  # characters of an error, which may quote the file
_PUBLISHED_POINTS, _PUBLISHED_DEPTHS = "points3D_id_to_2D", "points3D_id_to_ndepth"
_PUBLISHED_KEYS = (
    *("image_paths", "depth_paths", "intrinsics", "poses", "overlap_matrix", "scale_ratio_matrix", "angles"),
    *("n_points3D", _PUBLISHED_POINTS, _PUBLISHED_DEPTHS),
)


def write_scene_info(path: Path, info: SceneInfo) -> None:
    """Write a scene, replacing an existing one; its folder is created, and a killed run leaves no partial file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, sync=True) as stream:
        # Uncompressed, to be read at the disk's speed.
        np.savez(stream, **{key: getattr(info, key) for key in SCENE_KEYS})


def read_scene_info(path: Path, *, allow_pickle: bool = False) -> SceneInfo:
    """Read a scene. allow_pickle: also read the published layout, which can run any code that its author put into it.

    Nothing is unpickled without allow_pickle. The published layout doesn't name images without depth: their names are
    empty. Raises FileNotFoundError if the file is missing, ValueError if it is damaged, is not scene info, or has the
    published layout without allow_pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no scene info {path}")
    with path.open("rb") as stream:
        if stream.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            raise ValueError(f"{path} is not scene info: it is not an npz file, or is damaged")
        stream.seek(0)
        try:
            with np.load(stream, allow_pickle=False) as archive:
                keys = archive.files
        except Exception as error:  # the readers raise what they like on damaged files
            raise _damaged(path, error) from error
        published = _PUBLISHED_POINTS in keys
        expected = _PUBLISHED_KEYS if published else SCENE_KEYS
        missing = [key for key in expected if key not in keys]
        if missing:
            raise ValueError(f"{path} is not scene info: it lacks {', '.join(missing)}")
        if published and not allow_pickle:
            raise ValueError(
                f"{path} has the published layout, whose pickled objects can run code: preprocess the scene again, or "
                "if you trust its author convert it with python -m megadepth_utils.convert_scene_info --allow-pickle"
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


def _load(stream: BinaryIO, keys: tuple[str, ...], allow_pickle: bool) -> dict[str, np.ndarray]:
    stream.seek(0)
    with np.load(stream, allow_pickle=allow_pickle) as archive:
        check_archive(archive.zip, stream.seek(0, os.SEEK_END))
        arrays = {key: archive[key] for key in keys}
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy gives what is no array as bytes
            raise ValueError(f"{key} is not an array")
        if array.dtype.kind == "U":
            array.tolist()  # raises for an invalid character
    return {key: array.astype(array.dtype.newbyteorder("="), copy=False) for key, array in arrays.items()}


def _from_published(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our arrays from those of the published layout; missing depths become NaN."""
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
