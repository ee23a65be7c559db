"""Depth maps on disk, cut out in the frame of their photographs.

Two kinds: MegaDepth's HDF5 files (dataset ``depth``), and the ``.bin`` files of a COLMAP workspace, which may be
smaller than the photographs.
"""

from pathlib import Path

import h5py
import numpy as np
import torch

from d2sfm.coordinates import Size
from d2sfm.files import check_dataset, open_hdf5
from d2sfm.network.sampling import resample
from d2sfm.training.warp import where_known

COLMAP_SUFFIX = ".bin"
# Edges of MegaDepth's maps and photographs differ by rounding at most: both come from one size limit.
ROUNDING_PX = 2


def is_relative(path: Path | str) -> bool:
    """Whether a map's unit is arbitrary, as in a COLMAP workspace, so that depths can only be compared as shares."""
    return Path(path).suffix == COLMAP_SUFFIX


def read_depth_crop(path: Path, image_size: Size, corner: tuple[int, int], size: int) -> np.ndarray:
    """Depth along the camera's axis of a square crop, [size, size] float32, 0 where unknown.

    image_size: (width, height) of the photograph, whose frame the crop is in; corner: (row, column) of its first
    pixel. A map of another size is resampled: a pixel without depth on all four sides becomes unknown, and pixels
    beyond the centres of its outermost ones take their depth. In COLMAP's maps negative depth is unknown, too.

    Raises FileNotFoundError for a missing file, ValueError for a file without a depth map, a shape that differs from
    the photograph's, and negative depth in MegaDepth's maps.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no depth map at {path}")
    depth = _open_colmap(path) if is_relative(path) else _open_megadepth(path)
    try:
        _check_shape(path, depth.shape, image_size)
        if depth.shape == image_size[::-1]:
            found = np.asarray(depth[corner[0] : corner[0] + size, corner[1] : corner[1] + size], np.float32)
        else:
            found = np.asarray(depth[:], np.float32)
    except OSError as error:  # HDF5 finds a damaged chunk when it is read
        raise ValueError(f"{path} can't be read as a depth map ({type(error).__name__})") from error
    finally:
        if isinstance(depth, h5py.Dataset):
            depth.file.close()
    if not is_relative(path) and (found < 0).any():
        raise ValueError(f"{path} holds the depth {np.nanmin(found):g}, expected 0 (unknown) or more")
    known = np.where(np.isfinite(found) & (found > 0), found, np.float32(0))
    return known if depth.shape == image_size[::-1] else _resampled(known, image_size, corner, size)


def _open_megadepth(path: Path) -> h5py.Dataset:
    try:
        file = open_hdf5(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is not an HDF5 file, or is damaged") from error
    depth = file.get("depth")
    if not isinstance(depth, h5py.Dataset) or depth.ndim != 2 or depth.dtype.kind not in "fiu":
        file.close()
        raise ValueError(f"{path} holds no dataset 'depth' of two dimensions")
    try:
        check_dataset(depth)
    except ValueError as error:
        file.close()
        raise ValueError(f"{path} is damaged: {error}") from error
    return depth


def _open_colmap(path: Path) -> np.ndarray:
    """COLMAP's dense format: ``width&height&channels&``, then float32 values row by row."""
    with path.open("rb") as stream:
        header = stream.read(64).split(b"&", 3)
    if len(header) != 4 or not all(field.isdigit() for field in header[:3]):
        raise ValueError(f"{path} is not a depth map of COLMAP: it does not begin with width&height&channels&")
    width, height, channels = map(int, header[:3])
    offset = sum(len(field) + 1 for field in header[:3])
    expected, found = offset + 4 * width * height * channels, path.stat().st_size
    if channels != 1 or found != expected or not expected > offset:
        raise ValueError(
            f"{path} is not a complete depth map: {width} x {height} x {channels} takes {expected} bytes, found {found}"
        )
    return np.memmap(path, "<f4", "r", offset, (height, width))


def _check_shape(path: Path, shape: tuple[int, int], image_size: Size) -> None:
    (height, width), (image_width, image_height) = shape, image_size
    if is_relative(path):
        # A smaller map has the photograph's shape but for the rounding of its own edges.
        factor = max(image_width / width, image_height / height)
        rounding = ROUNDING_PX * factor
    else:
        factor, rounding = 1.0, ROUNDING_PX
    if max(abs(width * factor - image_width), abs(height * factor - image_height)) > rounding:
        raise ValueError(f"{path} is {width} x {height}, its photograph {image_width} x {image_height}")


def _resampled(depth: np.ndarray, image_size: Size, corner: tuple[int, int], size: int) -> np.ndarray:
    """The crop's depth out of a map of another size; pixel edges of map and photograph coincide."""
    positions = [
        torch.from_numpy((np.arange(start, start + size) + 0.5) * (edge / image_edge) - 0.5)
        for start, edge, image_edge in zip(corner, depth.shape, image_size[::-1], strict=True)
    ]
    return where_known(depth, lambda layers: resample(layers, *positions)).astype(np.float32)
