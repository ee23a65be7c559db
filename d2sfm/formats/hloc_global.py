"""Global descriptors of images in HDF5 files of hloc's layout."""

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from d2sfm.formats.hdf5 import FLOATS, array, links, member, opened
from d2sfm.text import first_of

DATASET = "global_descriptor"  # of an image's group
MAX_SIZE = 1 << 17  # numbers of a descriptor: those in use have 4096, VLAD of 512 channels and 256 words this


def read_global_descriptors(path: Path | str, names: Iterable[str]) -> np.ndarray:
    """Global descriptors of images from an HDF5 file in hloc's layout: <name>/global_descriptor, [D] each.

    Returns [N, D] float32 of unit length in the order of the names. Raises FileNotFoundError if the file is missing,
    ValueError if it is not an HDF5 file, or lacks an image, or descriptors differ in shape.
    """
    found, missing = [], []
    with opened(path) as file:
        for name in names:
            group = member(file, name)
            if isinstance(group, h5py.Group) and DATASET in links(group):
                size = len(found[0]) if found else None
                found.append(_unit(path, name, array(group, DATASET, (size,), FLOATS, MAX_SIZE)))
            else:
                missing.append(name)
    if missing:
        raise ValueError(f"{path} has no {DATASET} of {first_of(missing, 'image')}")
    return np.stack(found)


def _unit(path: Path | str, name: str, descriptor: np.ndarray) -> np.ndarray:
    """One descriptor, [D] float32, of unit length."""
    descriptor = descriptor.astype(np.float64)
    length = np.linalg.norm(descriptor)
    if not 0 < length < np.inf:
        raise ValueError(f"{path}: {name}/{DATASET} is zero, empty or not finite")
    return (descriptor / length).astype(np.float32)
