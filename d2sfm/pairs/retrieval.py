"""Pairs of photographs that look alike, by one global descriptor of each."""

from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np

from d2sfm.formats.hdf5 import FLOATS, array, links, member, opened
from d2sfm.pairs.arrays import nearest, unique_pairs
from d2sfm.text import first_of

COLUMNS = 1024
DATASET = "global_descriptor"  # of an image's group, in hloc's files
MAX_SIZE = 1 << 17  # numbers of a global descriptor: those in use have 4096, VLAD of 512 channels and 256 words this


def retrieval(
    image_ids: np.ndarray, descriptors: np.ndarray, number: int, queries: np.ndarray | None = None
) -> np.ndarray:
    """Pairs of each image with the ``number`` images of the highest cosine similarity, lower ids first at a tie.

    image_ids: [N], ascending; descriptors: [N, D] of unit length, float16 or float32, zeros for an image that looks
    like no other; queries: [N] bool, the images that look for others (default: all). Returns [P, 2] uint32, ascending:
    a pair that either asks for is there once.
    """
    first, second = nearest(similarities(descriptors), len(image_ids), number)
    if queries is not None:
        first, second = first[queries[first]], second[queries[first]]
    return unique_pairs(image_ids[first], image_ids[second])


def similarities(descriptors: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """Cosine similarities of some rows with all, float32, for ``arrays.nearest``; -inf where a descriptor is zeros.

    Some columns at a time, so that descriptors in float16 are not all there in float32, too.
    """
    blank = ~descriptors.any(axis=1)

    def score(begin: int, end: int) -> np.ndarray:
        rows = descriptors[begin:end].astype(np.float32)
        block = np.empty((end - begin, len(descriptors)), np.float32)
        for start in range(0, len(descriptors), COLUMNS):
            columns = descriptors[start : start + COLUMNS].astype(np.float32, copy=False)
            np.matmul(rows, columns.T, out=block[:, start : start + COLUMNS])
        block[:, blank] = block[blank[begin:end]] = -np.inf
        return block

    return score


def read_global_descriptors(path: Path | str, names: Iterable[str]) -> np.ndarray:
    """Global descriptors of images from an HDF5 file in hloc's layout: <name>/global_descriptor, [D] each.

    Returns [N, D] float32 of unit length in the order of the names. Raises FileNotFoundError where there is no such
    file, ValueError where it is no HDF5 file, or lacks an image, or holds for one something else than the others have.
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
