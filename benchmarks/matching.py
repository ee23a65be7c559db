"""Matching beside the matrix product that it needs, and a synthetic folder that is matched exhaustively.

    python benchmarks/matching.py [--sizes 1000 4000 8192] [--images 200 --features 4000] [--device D]

First writes a database of images with random descriptors in float16, of which each image shares a quarter with the
next, matches all pairs without verification, and prints the rate and the peak memory of that (resident, from Linux),
beside what the process had after its imports. The table then has, for two sets of random descriptors of 512 numbers,
the milliseconds (medians of interleaved runs) of their product alone in float32, whole by torch's ``@`` and by oneDNN
(on a CPU) and in the blocks that matching makes, and of ``mutual_nearest_neighbours`` with the ratio to the faster
whole product; also of descriptors in float16, and of the ratio test.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pycolmap
import torch

from d2sfm.database import FeatureStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.features.record import Features
from d2sfm.matching.match import match_database
from d2sfm.matching.neighbours import BLOCK_ROWS, mutual_nearest_neighbours
from d2sfm.network.device import resolve_device
from d2sfm.options import Convention, MatchingOptions

SIZE_PX = (1600, 1200)


def main() -> None:
    """Measure and print."""
    arguments = parse()
    device = resolve_device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    if arguments.images:
        folder(arguments.images, arguments.features, arguments.device)
    columns = ("descriptors", "torch @", "oneDNN", "in blocks", "neighbours", "ratio", "float16", "with ratio test")
    print(f"\n{name}; milliseconds\n" + "".join(f"{column:>{len(column) + 3}}" for column in columns))
    for size in arguments.sizes:
        runs = times(size, device, arguments.repeats)
        whole = min(runs["torch @"], runs.get("oneDNN", float("inf")))
        cells = [str(size), *(f"{1e3 * runs[key]:.1f}" if key in runs else "-" for key in columns[1:5])]
        cells += [f"{runs['neighbours'] / whole:.2f}", *(f"{1e3 * runs[key]:.1f}" for key in columns[6:])]
        print("".join(f"{cell:>{len(key) + 3}}" for cell, key in zip(cells, columns, strict=True)), flush=True)


def times(size: int, device: torch.device, repeats: int) -> dict[str, float]:
    """Median seconds of each way, the runs of all of them in turn."""
    generator = torch.Generator().manual_seed(size)
    a, b = (unit(torch.randn(size, 512, generator=generator)).to(device) for _ in range(2))
    half_a, half_b = a.half(), b.half()
    options = MatchingOptions(device=str(device))
    ratio = MatchingOptions(device=str(device), ratio=0.9)
    rows = BLOCK_ROWS[device.type]
    multiply = product_by_onednn if device.type == "cpu" else torch.Tensor.matmul
    ways = {
        "torch @": lambda: a @ b.T,
        "in blocks": lambda: [multiply(b, block.T) is None for block in a.split(rows)],
        "neighbours": lambda: mutual_nearest_neighbours(a, b, options),
        "float16": lambda: mutual_nearest_neighbours(half_a, half_b, options),
        "with ratio test": lambda: mutual_nearest_neighbours(a, b, ratio),
    }
    if device.type == "cpu":
        ways["oneDNN"] = lambda: product_by_onednn(a, b.T)
    with torch.inference_mode():
        runs = [{name: seconds(way, device) for name, way in ways.items()} for _ in range(repeats + 1)][1:]
    return {name: median(run[name] for run in runs) for name in ways}


def product_by_onednn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b as a 1x1 convolution, [1, columns of b, rows of a, 1] in memory as [rows of a, columns of b]."""
    picture = a.view(1, len(a), 1, -1).permute(0, 3, 1, 2)
    filters = b.T.reshape(b.shape[1], 1, 1, -1).permute(0, 3, 1, 2)
    return torch.mkldnn_convolution(picture, filters, None, [0, 0], [1, 1], [1, 1], 1)


def seconds(way: Callable, device: torch.device) -> float:
    """Wall time until the device has done the work."""
    begun = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def folder(images: int, features: int, device: str) -> None:
    """Write the synthetic database, match it, print rate and memory."""
    before = memory("VmRSS")
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "db.db"
        write_database(database, images, features)
        reset_peak()
        begun = time.perf_counter()
        summary = match_database(database, options=MatchingOptions(device=device), verification=None)
        elapsed = time.perf_counter() - begun
    peak = memory("VmHWM")
    print(f"{images} images of {features} features: {summary.pairs} pairs, {summary.matches} matches")
    print(f"{elapsed:.1f} s, {summary.pairs / elapsed:.1f} pairs/s")
    print(f"peak memory {peak / 1e6:.0f} MB, {(peak - before) / 1e6:.0f} MB more than before")


def write_database(path: Path, images: int, features: int) -> None:
    """Images of random unit descriptors, a quarter of each the next one's with noise."""
    names = [f"{number:05}.jpg" for number in range(images)]
    with open_pycolmap(path) as colmap:
        for name in names:
            camera = pycolmap.Camera(
                model="PINHOLE", width=SIZE_PX[0], height=SIZE_PX[1], params=[1500, 1500, 800, 600]
            )
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))
    generator = torch.Generator().manual_seed(0)
    shared = features // 4
    descriptors = unit(torch.randn(features, 512, generator=generator))
    with FeatureStore(path) as store:
        for name in names:
            keypoints = torch.rand(features, 4, generator=generator) * torch.tensor([*SIZE_PX, 1, 1])
            record = Features(
                keypoints=keypoints.numpy().astype(np.float32),
                descriptors=descriptors.half().numpy(),
                image_size=SIZE_PX,
                input_size=SIZE_PX,
                convention=Convention.COLMAP,
                scales=(1.0,),
            )
            store.write(name, record, "benchmark")
            noise = torch.randn(features, 512, generator=generator)
            noise[:shared] = descriptors[features - shared :] + 0.3 * unit(noise[:shared])
            descriptors = unit(noise)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors with length 1."""
    return vectors / vectors.norm(dim=1, keepdim=True)


def memory(field: str) -> int:
    """Bytes that Linux says this process has in memory (VmRSS) or had at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def reset_peak() -> None:
    """Let VmHWM begin again at what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 4000, 8192], help="descriptors of each set")
    parser.add_argument("--repeats", type=int, default=9, help="runs whose median is taken")
    parser.add_argument("--images", type=int, default=20, help="images of the synthetic folder; 0 leaves it out")
    parser.add_argument("--features", type=int, default=4000, help="features of each of them")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
