"""Time and memory of refinement beside extraction's.

    python benchmarks/refinement.py FOLDER [--precision P] [--max-edge PX]

Runs ``d2sfm extract``, ``match`` and ``refine`` on the photographs of FOLDER, each in a process of its own, then
extraction and refinement again with feature maps kept in a folder. Prints seconds and the peak of resident memory
(``ru_maxrss``) of each; for refinement also what it said, and the milliseconds of each stage of alignment for each
keypoint moved, without verification. --precision is that of both.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path

from child import Run, d2sfm

from d2sfm.options import ExtractionOptions, Precision

SAID = re.compile(
    r"refine: (?P<moved>\d+) keypoints .* \(median\) in (?P<features>[\d.]+) s, "
    r".* by grey values in (?P<grey>[\d.]+) s, .*"
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge, metavar="PX")
    arguments = parser.parse_args()
    precision = ("--precision", arguments.precision)
    print(f"{'command':<24}{'s':>8}{'MB':>7}")
    with tempfile.TemporaryDirectory() as scratch:
        database, matched, cache = (Path(scratch) / name for name in ("db.db", "matched.db", "cache"))
        sizes = (*precision, "--max-edge", arguments.max_edge)
        extract = ("extract", "--database", database, "--images", arguments.folder, *sizes)
        show("extract", d2sfm(*extract))
        show("match", d2sfm("match", "--database", database))
        shutil.copy(database, matched)
        show("refine", d2sfm("refine", "--database", database, *precision))
        database.unlink()
        show("extract --cache", d2sfm(*extract, "--cache", cache))
        shutil.copy(matched, database)
        show("refine --cache", d2sfm("refine", "--database", database, "--cache", cache, *precision))
        kept = sum(path.stat().st_size for path in cache.iterdir())
        print(f"{len(list(cache.iterdir()))} photographs' maps in the folder, {kept / 1e6:.0f} MB")


def show(label: str, run: Run) -> None:
    """A line of the table; for refinement another with what it said."""
    print(f"{label:<24}{run.seconds:>8.1f}{run.peak_bytes / 1e6:>7.0f}", flush=True)
    if said := SAID.search(run.output):
        each = {stage: 1000 * float(said[stage]) / int(said["moved"]) for stage in ("features", "grey")}
        print(f"  {said[0]}; {each['features']:.2f} ms a keypoint by features, {each['grey']:.2f} ms by grey values")


if __name__ == "__main__":
    main()
