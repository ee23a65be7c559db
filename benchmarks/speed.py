"""Seconds and memory of each stage for a folder of photographs, beside the arithmetic that the network needs.

    python benchmarks/speed.py FOLDER [--precision P] [--device D] [--multiscale] [--max-edge 0] [--map]

Prints two tables for each precision. The first splits ``Extractor.extract`` over the photographs of FOLDER: its parts
are timed inside the run (on a GPU each waits for the device, so the sum is above an undisturbed run). The floor is the
floating-point operations of the trunk over the rate of a matrix product, the fastest of torch's own and oneDNN's. The
second has the whole commands, each on the other's result. Memory is the peak of the process until the end of the row
(resident, from Linux), beside what it was before; the rest of ``extract()`` has that of the whole. On a GPU float32 is
TF32 where torch's settings say so. The last table has the seconds of all precisions.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from pages import add_update, update
from torch.nn import functional as F

from d2sfm.extraction.extract import extract_to_database
from d2sfm.features import pyramid
from d2sfm.features.extractor import Extractor
from d2sfm.features.pyramid import level_sizes
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.network.device import resolve_device
from d2sfm.network.trunk import BLOCKS
from d2sfm.options import ExtractionOptions, Precision, ReconstructionOptions, VerificationOptions
from d2sfm.photographs.reading import list_photographs, load_photograph
from d2sfm.text import aligned

PRODUCT = (28665, 2304, 512)  # conv4_1 of a picture of 800 x 587 px, written as a matrix product
HEADER = (
    "seconds",
    "floor",
    "trunk",
    "detection",
    "description",
    "read, preprocess",
    "rest",
    "extract",
    "match",
    "verify",
    "photographs/s",
    "GPU memory, MB",
)
PARTS = {  # names in d2sfm.features.pyramid, and the rows that they belong to
    "LevelPictures.rows": "preprocess",
    "TrunkStrips.push": "trunk",
    "resample": "sum of levels",
    "detect": "detection",
    "localise": "detection",
    "sample": "description",
}


class Stage:
    """Seconds and peak memory of a piece of work, summed and raised over its calls."""

    def __init__(self):
        self.seconds, self.peak = 0.0, 0

    @contextmanager
    def running(self, device: torch.device):
        """Measure the block, to the end of what it started on the device."""
        reset_peak()
        begun = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.seconds += time.perf_counter() - begun
        self.peak = max(self.peak, memory("VmHWM"))


def main() -> None:
    """Measure and print."""
    arguments = parse()
    rows = [HEADER]
    for precision in arguments.precision:
        seconds = measured(precision, arguments)
        label = f"{precision}, 3 scales" if arguments.multiscale else str(precision)
        rows.append((label, *(f"{seconds[name]:.2f}" if name in seconds else "" for name in HEADER[1:])))
        print()
    print(aligned(rows))
    update(arguments.update, rows)


def measured(precision: Precision, arguments: argparse.Namespace) -> dict[str, float]:
    """The columns of the last table, after printing those of one precision."""
    device = resolve_device(arguments.device)
    on_gpu = device.type == "cuda"
    kept = torch.cuda.memory_allocated(device) if on_gpu else 0  # by the commands of the precision before
    options = ExtractionOptions(
        precision=precision,
        device=arguments.device,
        scales=(0.5, 1.0, 2.0) if arguments.multiscale else (1.0,),
        max_edge=arguments.max_edge,
        max_sum_edges=2800 if arguments.max_edge else 0,
        tile_size=arguments.tile_size,
    )
    names = list_photographs(arguments.folder)[: arguments.photographs]
    extractor = Extractor(options)
    rate = product_rate(device, extractor.precision)
    print(f"{device_name(device)}; {extractor.precision}; {len(names)} photographs of {arguments.folder.name}")
    print(f"before the first photograph: {memory('VmRSS') / 1e6:.0f} MB; matrix product: {rate / 1e9:.0f} GFLOP/s\n")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    stages, operations = split(extractor, [arguments.folder / name for name in names])
    found = {"floor": operations / rate} | {name: stage.seconds for name, stage in stages.items()}
    found["read, preprocess"] = found.pop("read") + found.pop("preprocess")
    print(f"{'extract()':<22}{'s':>9}{'of trunk':>10}{'MB':>8}")
    row("floor of the trunk", found["floor"], found["trunk"])
    for name, stage in stages.items():
        row(name, stage.seconds, found["trunk"], stage.peak)
    if on_gpu:
        found["GPU memory, MB"] = (torch.cuda.max_memory_allocated(device) - kept) / 1e6
        print(f"GPU memory: {found['GPU memory, MB']:.0f} MB")
    return found | commands(arguments, options, names, found["trunk"])


def split(extractor: Extractor, paths: list[Path]) -> tuple[dict[str, Stage], float]:
    """The parts of ``Extractor.extract``, and the floating-point operations of the trunk."""
    stages: dict[str, Stage] = defaultdict(Stage)
    device, operations = extractor.device, 0.0
    extractor.extract(load_photograph(paths[0]))  # compiles kernels
    whole = Stage()
    with ExitStack() as stack:
        for target, name in PARTS.items():
            owner, _, attribute = target.rpartition(".")
            owner = getattr(pyramid, owner) if owner else pyramid
            function = getattr(owner, attribute)
            stack.enter_context(patch.object(owner, attribute, timed(function, stages[name], device)))
        for path in paths:
            with stages["read"].running(device):
                image = load_photograph(path)
            with whole.running(device):
                extractor.extract(image)
            sizes = level_sizes(extractor.input_size(image.shape[1::-1]), extractor.options.scales)
            operations += sum(trunk_operations(size) for _, size in sizes)
    inner = sum(stage.seconds for name, stage in stages.items() if name != "read")
    stages["rest"].seconds = whole.seconds - inner
    stages["rest"].peak = max(whole.peak, *(stage.peak for stage in stages.values()))
    return dict(stages), operations


def timed(function: Callable, stage: Stage, device: torch.device) -> Callable:
    """The function, measured at each call."""

    def call(*arguments, **keywords):
        with stage.running(device):
            return function(*arguments, **keywords)

    return call


def commands(
    arguments: argparse.Namespace, options: ExtractionOptions, names: list[str], trunk: float
) -> dict[str, float]:
    """The whole commands on the folder: prints their table, and gives their seconds."""
    found = {}
    print(f"\n{'command':<22}{'s':>9}{'of trunk':>10}{'MB':>8}")
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder, database = Path(scratch) / "images", Path(scratch) / "db.db"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to((arguments.folder / name).resolve())
        work = {
            "extract": lambda: extract_to_database(database, folder, options=options),
            "match": lambda: match_database(database, verification=None),
            "verify": lambda: match_database(database, verification=VerificationOptions()),
        }
        if arguments.map:
            once = ReconstructionOptions(min_starts=1, max_starts=1, num_threads=1)
            work["reconstruct, 1 start"] = lambda: reconstruct(database, Path(scratch) / "sparse", options=once)
        for name, run in work.items():
            stage = Stage()
            with stage.running(device):
                summary = run()
            row(name, stage.seconds, trunk, stage.peak)
            found[name] = stage.seconds
            if name == "extract":
                found["photographs/s"] = summary.extracted / stage.seconds
                print(f"{'':<22}{found['photographs/s']:.2f} photographs/s, {summary.keypoints} keypoints")
            if name == "verify":
                print(f"{'':<22}{summary.verified} of {summary.pairs} pairs verified")
    return found


def trunk_operations(size: tuple[int, int]) -> float:
    """Floating-point operations of the ten convolutions, two for a multiplication with its addition."""
    width, height = size
    total = 0.0
    for index, block in enumerate(BLOCKS):
        if index in (1, 2):
            width, height = width // 2, height // 2
        elif index == 3:
            width, height = width - 1, height - 1
        total += sum(2 * 9 * channels_in * channels_out * width * height for _, channels_in, channels_out in block)
    return total


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a matrix product of the trunk's largest kind; the fastest library's."""
    rows, inner, columns = PRODUCT
    a = torch.randn(rows, inner, device=device).to(dtype)
    b = torch.randn(inner, columns, device=device).to(dtype)
    as_picture = a.view(1, rows, 1, inner).permute(0, 3, 1, 2)
    as_weights = b.T.contiguous().view(columns, inner, 1, 1)
    ways = (lambda: a @ b, lambda: F.conv2d(as_picture, as_weights))
    seconds = []
    with torch.inference_mode():
        for way in ways:
            way()
            runs = [Stage() for _ in range(5)]
            for run in runs:
                with run.running(device):
                    way()
            seconds.append(median(run.seconds for run in runs))
    return 2 * rows * inner * columns / min(seconds)


def row(name: str, seconds: float, trunk: float, peak: int | None = None) -> None:
    """Print one line of a table."""
    print(
        f"{name:<22}{seconds:>9.2f}{seconds / trunk:>10.3f}{'' if peak is None else f'{peak / 1e6:.0f}':>8}", flush=True
    )


def memory(field: str) -> int:
    """Bytes that Linux says this process has in memory (VmRSS) or had at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def reset_peak() -> None:
    """Let VmHWM begin again at what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


def device_name(device: torch.device) -> str:
    """The device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--photographs", type=int, metavar="N", help="the first N only")
    parser.add_argument("--precision", type=Precision, nargs="+", default=[Precision.FLOAT32])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--multiscale", action="store_true", help="scales 0.5, 1 and 2")
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge, metavar="PX")
    parser.add_argument("--tile-size", type=int, metavar="PX", help="as for d2sfm extract")
    parser.add_argument("--map", action="store_true", help="also reconstruct")
    add_update(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
