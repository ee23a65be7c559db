"""Overlap and scale ratios against a plain loop over dictionaries: ``python benchmarks/preprocess.py``.

The scene is synthetic. The loop intersects the points of two images at a time, as the published code does. Times are
of the processor, which another load on the machine disturbs least: both sides run in one thread. Memory is the peak
growth of what NumPy and SciPy allocate, results included, as tracemalloc counts it in a run of its own. Last comes the
time to read a COLMAP model.
"""

import argparse
import tempfile
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap

from megadepth_utils.covisibility import overlap_and_scale_ratio
from megadepth_utils.undistorted_model import read_undistorted_model


def synthetic_scene(images: int, points: int, track: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [m], normalised depths [m] and image_ptr [images + 1]: each point seen by ``track`` images on average.

    Images look at a ring of points, so that neighbours share many and images on opposite sides share none.
    """
    generator = np.random.default_rng(seed)
    centres = generator.integers(images, size=points)
    lengths = np.clip(generator.geometric(1 / track, points), 2, images // 4)
    number = np.repeat(np.arange(points), lengths)
    within = np.arange(number.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    image = (centres[number] + within) % images
    order = np.lexsort((number, image))
    image_ptr = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=images))])
    return number[order], generator.uniform(0.001, 0.01, number.size), image_ptr


def plain_loop(points: list[dict[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Overlap and scale ratio, each [n, n], from each image's normalised depths by point."""
    overlap, scale_ratio = (np.full((len(points), len(points)), -1.0) for _ in range(2))
    for i, first in enumerate(points):
        for j in range(i + 1, len(points)):
            second = points[j]
            common = first.keys() & second.keys()
            overlap[i, j] = len(common) / len(first)
            overlap[j, i] = len(common) / len(second)
            if common:
                ratio = min(max(first[key] / second[key], second[key] / first[key]) for key in common)
                scale_ratio[i, j] = scale_ratio[j, i] = ratio
    return overlap, scale_ratio


def reading(images: int = 100, points: int = 3000) -> str:
    """How long it takes to read a COLMAP model in which every image observes every point."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = images, 1, 1
    options.num_points3D, options.camera_model_id = points, pycolmap.CameraModelId.PINHOLE
    options.camera_params = [1280.0, 1280.0, 512.0, 384.0]
    with tempfile.TemporaryDirectory() as folder:
        pycolmap.synthesize_dataset(options).write_binary(folder)
        start = time.process_time()
        model = read_undistorted_model(Path(folder))
        seconds = time.process_time() - start
    count = model.points.size
    return f"reading a model of {images} images, {count} observations: {seconds / count * 1e6:.1f} s a million"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--track", type=int, default=10, help="mean number of images that see a point (default: 10)")
    parser.add_argument("--repeats", type=int, default=5, help="runs, of which the median counts (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    points, depths, image_ptr = synthetic_scene(arguments.images, arguments.points, arguments.track, arguments.seed)
    has_depth = np.ones(arguments.images, bool)
    print(f"{arguments.images} images, {arguments.points} points, {points.size} observations")

    seconds = []
    for _ in range(arguments.repeats):
        start = time.process_time()
        fast = overlap_and_scale_ratio(points, depths, image_ptr, has_depth)
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    overlap_and_scale_ratio(points, depths, image_ptr, has_depth)
    peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    inputs_mb, results_mb = sum(array.nbytes for array in (points, depths, image_ptr)) / 1e6, 2 * fast[0].nbytes / 1e6
    fast_s = np.median(seconds)
    print(f"sparse: {fast_s:.3f} s (median of {arguments.repeats}, from {min(seconds):.3f} to {max(seconds):.3f})")
    print(f"memory: grows by {peak_mb:.0f} MB at the peak; input {inputs_mb:.0f} MB, results {results_mb:.0f} MB")

    tables = [dict(zip(points[a:b].tolist(), depths[a:b].tolist(), strict=True)) for a, b in pairwise(image_ptr)]
    start = time.process_time()
    plain = plain_loop(tables)
    plain_s = time.process_time() - start
    error = max(np.abs(a - b).max() for a, b in zip(fast, plain, strict=True))
    print(f"plain loop over dictionaries: {plain_s:.1f} s, {plain_s / fast_s:.0f} times as long")
    print(f"largest difference of a matrix entry: {error:.1e}")
    print(reading())


if __name__ == "__main__":
    main()
