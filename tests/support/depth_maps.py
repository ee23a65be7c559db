"""Depth maps on disk, in both of their formats."""

import h5py
import numpy as np


def write_h5(path, depth, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("depth", data=depth, **options)
    return path


def write_bin(path, depth):
    """COLMAP's dense format."""
    height, width = depth.shape
    path.write_bytes(f"{width}&{height}&1&".encode() + depth.astype("<f4").tobytes())
    return path


WRITERS = {"map.h5": write_h5, "map.geometric.bin": write_bin}


def random_depth(height, width, seed=0):
    return np.random.default_rng(seed).uniform(1, 9, (height, width)).astype(np.float32)
