"""Time and memory of extraction against the number of photographs.

    python benchmarks/scaling.py FOLDER --plot scaling.png

Runs ``d2sfm extract`` in a process of its own for each row, on photographs of FOLDER that are repeated as links, and
prints its seconds and its peak of resident memory (``ru_maxrss``). --plot draws the rows.
"""

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

from child import d2sfm
from matplotlib.figure import Figure

from d2sfm.options import Precision
from d2sfm.photographs.reading import list_photographs


class Row(NamedTuple):
    """What one run of ``d2sfm extract`` took."""

    photographs: int
    seconds: float
    peak_bytes: int


def main() -> None:
    """Measure, print, draw."""
    arguments = parse()
    names = list_photographs(arguments.folder)
    options = ["--precision", arguments.precision, *(["--multiscale"] if arguments.multiscale else [])]
    options += ["--max-edge", str(arguments.max_edge)] + ([] if arguments.max_edge else ["--max-sum-edges", "0"])
    print(f"{'photographs':>11}{'s':>9}{'s each':>9}{'MB':>7}")
    runs = []
    for count in arguments.counts:
        run = extract(arguments.folder, names, count, options)
        each = run.seconds / run.photographs
        print(f"{run.photographs:>11}{run.seconds:>9.1f}{each:>9.2f}{run.peak_bytes / 1e6:>7.0f}", flush=True)
        runs.append(run)
    if arguments.plot:
        draw(runs, arguments.plot)


def extract(folder: Path, names: list[str], count: int, options: list[str]) -> Row:
    """Extract ``count`` photographs, those of the folder again and again, into a new database."""
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images"
        images.mkdir()
        for index in range(count):
            name = names[index % len(names)]
            (images / f"{index:05}{Path(name).suffix}").symlink_to((folder / name).resolve())
        run = d2sfm("extract", "--database", f"{scratch}/db.db", "--images", images, *options)
        return Row(count, run.seconds, run.peak_bytes)


def draw(runs: list[Row], path: Path) -> None:
    """Time and memory over the number of photographs, side by side."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = [run.photographs for run in runs]
    left.plot(counts, [run.seconds for run in runs], "o-")
    left.set(ylabel="time, s")
    right.plot(counts, [run.peak_bytes / 1e6 for run in runs], "o-")
    right.set(ylabel="peak memory, MB")
    for axes in (left, right):
        axes.set(xlabel="photographs", xlim=(0, None), ylim=(0, 1.15 * axes.dataLim.y1))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 50, 200], help="numbers of photographs")
    parser.add_argument("--max-edge", type=int, default=512, metavar="PX")
    parser.add_argument("--plot", type=Path, metavar="PNG")
    parser.add_argument("--precision", type=Precision, default=Precision.FLOAT32)
    parser.add_argument("--multiscale", action="store_true", help="scales 0.5, 1 and 2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
