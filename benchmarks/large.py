"""Time and memory of mapping against the number of images, on synthetic databases.

    python benchmarks/large.py map --images 100 300 --mappers incremental global --threads 1 -1 --results rows.jsonl
    python benchmarks/large.py show rows.jsonl --to 4000 10000 --plot large.png

``map`` writes databases by ``synthetic.py``, makes one run of each mapper with each number of threads in a process of
its own, and appends a row for each to the results. ``show`` prints the rows of one or more such files: seconds of
processor time and of the clock from the reading of the database to the adjusted model, and the peak of resident
memory; images of the model and the rotation errors of their poses (median and largest, degrees). With --to, rows are
added that continue the last two measured ones, seconds as a power of the number of images and memory in proportion to
what is added; they are marked with ~, in the plot by hollow circles. For matching see ``large_matching.py``.
"""

import argparse
import json
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pages import add_update, update
from synthetic import SCENES, Settings, write_synthetic

from d2sfm.colmap import read_model
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping.one_run import Trial, map_once
from d2sfm.mapping.reconstruct import read_input
from d2sfm.models import write_model
from d2sfm.options import Mapper, ReconstructionOptions
from d2sfm.text import aligned

SECONDS = ("cpu_s", "clock_s")
HEADER = ("images", "CPU s", "s", "MB", "in the model", "rotation", "largest")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a run took. ``label`` is what it has in common with runs on other numbers of images."""

    label: str
    images: int
    cpu_s: float
    clock_s: float
    peak_bytes: float
    in_model: int | None = None  # None if the row is extrapolated
    rotation_deg: tuple[float, float] = (math.nan, math.nan)  # median and largest

    def cells(self) -> tuple[str, ...]:
        """The row below HEADER."""
        measured = self.cpu_s, self.clock_s, self.peak_bytes / 1e6
        numbers = (f"~{float(f'{each:.2g}'):.0f}" if self.in_model is None else f"{each:.0f}" for each in measured)
        found = (
            ("-", "-", "-") if self.in_model is None else (str(self.in_model), *map("{:.3f}".format, self.rotation_deg))
        )
        return (str(self.images), *numbers, *found)


def main() -> None:
    """Measure, or print and draw."""
    arguments = parse()
    if arguments.command == "map":
        with arguments.results.open("a") as results:
            for images in arguments.images:
                settings = Settings(
                    images=images, scene=arguments.scene, is_estimated=arguments.estimated, points=arguments.points
                )
                for row in rows_of(settings, product(arguments.mappers, arguments.threads)):
                    results.write(json.dumps(asdict(row)) + "\n")
                    results.flush()
                    print(aligned([(row.label, *HEADER), ("", *row.cells())]), flush=True)
        return
    rows = [Row(**json.loads(line)) for path in arguments.results for line in path.read_text().splitlines()]
    of_labels = {label: [row for row in rows if row.label == label] for label in dict.fromkeys(r.label for r in rows)}
    tables = []
    for label, measured in of_labels.items():
        measured.sort(key=lambda row: row.images)
        tables.append([(label, *HEADER), *(("", *row.cells()) for row in with_further(measured, arguments.to))])
        print(aligned(tables[-1]), "\n")
    update(arguments.update, *tables)
    if arguments.plot:
        draw({label: with_further(measured, arguments.to) for label, measured in of_labels.items()}, arguments.plot)


def rows_of(settings: Settings, runs: Iterable[tuple[Mapper, int]]) -> Iterable[Row]:
    """Write a database, and map it by each mapper with each number of threads."""
    with tempfile.TemporaryDirectory() as scratch:
        database, truth = Path(scratch) / "db.db", Path(scratch) / "truth"
        model = write_synthetic(database, settings)
        truth.mkdir()
        write_model(model, truth)
        for mapper, threads in runs:
            label = f"{settings.scene}, {mapper}, {'all' if threads == -1 else threads} threads"
            row = in_own_process(mapped, database, truth, mapper, threads)
            yield replace(row, label=label + (", focal lengths estimated" if settings.is_estimated else ""))


def in_own_process(function: Callable, *given: object) -> Row:
    """The result of a function whose memory is to be its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def mapped(database: Path, truth: Path, mapper: Mapper, threads: int) -> Row:
    """One run of a mapper, compared with the truth."""

    cpu, clock = time.process_time(), time.perf_counter()
    given = read_input(database, ReconstructionOptions(mapper=mapper, num_threads=threads))
    models = map_once(given, Trial(seed=0), lambda images: None)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = Row(label="", images=len(given.names), cpu_s=cpu, clock_s=clock, peak_bytes=peak, in_model=0)
    if not models:
        return row
    model = max(models, key=lambda found: found.num_reg_images())
    error = compare_with_truth(model, read_model(truth)).rotation_deg
    return replace(row, in_model=model.num_reg_images(), rotation_deg=(float(np.median(error)), float(error.max())))


def with_further(measured: list[Row], numbers: list[int]) -> list[Row]:
    """Measured rows, by the number of images, and what larger numbers would take by the last two of them."""
    if len(measured) < 2:
        return measured
    before, last = measured[-2:]
    rows = list(measured)
    for images in (number for number in numbers if number > last.images):
        share = math.log(images / last.images) / math.log(last.images / before.images)
        seconds = {
            name: getattr(last, name) * (getattr(last, name) / getattr(before, name)) ** share for name in SECONDS
        }
        each = (last.peak_bytes - before.peak_bytes) / (last.images - before.images)
        peak = last.peak_bytes + each * (images - last.images)
        rows.append(Row(label=last.label, images=images, peak_bytes=peak, **seconds))
    return rows


def draw(of_labels: dict[str, list[Row]], path: Path) -> None:
    """Processor time and memory over the number of images, side by side, both axes logarithmic."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (label, rows) in enumerate(of_labels.items()):
        images = [row.images for row in rows]
        measured = [row.in_model is not None for row in rows]
        for axes, values in ((left, [row.cpu_s for row in rows]), (right, [row.peak_bytes / 1e6 for row in rows])):
            count = sum(measured)
            axes.plot(images[:count], values[:count], "o-", color=f"C{colour}", label=label)
            style = {"color": f"C{colour}", "markerfacecolor": "white"}
            axes.plot(images[count - 1 :], values[count - 1 :], ":", **style)
            axes.plot(images[count:], values[count:], "o", **style)
    left.set(ylabel="processor time, s")
    right.set(ylabel="peak memory, MB")
    for axes in (left, right):
        axes.set(xlabel="images (hollow: extrapolated)", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
    left.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    to_map = commands.add_parser("map")
    to_map.add_argument("--images", type=int, nargs="+", default=[100, 300])
    to_map.add_argument("--scene", choices=SCENES, default="town")
    to_map.add_argument("--estimated", action="store_true", help="focal lengths are guesses")
    to_map.add_argument("--points", type=int, default=40, help="for each image, which sees about six times as many")
    to_map.add_argument("--mappers", type=Mapper, nargs="+", choices=list(Mapper), default=[Mapper.INCREMENTAL])
    to_map.add_argument("--threads", type=int, nargs="+", default=[1], help="-1 for all")
    to_map.add_argument("--results", type=Path, required=True, metavar="FILE", help="rows are appended to it")
    show = commands.add_parser("show")
    show.add_argument("results", type=Path, nargs="+", metavar="FILE")
    show.add_argument("--to", type=int, nargs="*", default=[], help="numbers of images to extrapolate to")
    show.add_argument("--plot", type=Path, metavar="PNG")
    add_update(show)
    return parser.parse_args()


if __name__ == "__main__":
    main()
