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
from pages import add_update, update

from d2sfm.options import ExtractionOptions, Precision

HEADER = ("command", "s", "MB")
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
    add_update(parser)
    arguments = parser.parse_args()
    precision = ("--precision", arguments.precision)
    print("{:<24}{:>8}{:>7}".format(*HEADER))
    rows = [HEADER]
    with tempfile.TemporaryDirectory() as scratch:
        database, matched, cache = (Path(scratch) / name for name in ("db.db", "matched.db", "cache"))
        sizes = (*precision, "--max-edge", arguments.max_edge)
        extract = ("extract", "--database", database, "--images", arguments.folder, *sizes)
        rows.append(show("extract", d2sfm(*extract)))
        rows.append(show("match", d2sfm("match", "--database", database)))
        shutil.copy(database, matched)
        rows.append(show("refine", d2sfm("refine", "--database", database, *precision)))
        database.unlink()
        rows.append(show("extract --cache", d2sfm(*extract, "--cache", cache)))
        shutil.copy(matched, database)
        rows.append(show("refine --cache", d2sfm("refine", "--database", database, "--cache", cache, *precision)))
        kept = sum(path.stat().st_size for path in cache.iterdir())
        print(f"{len(list(cache.iterdir()))} photographs' maps in the folder, {kept / 1e6:.0f} MB")
    update(arguments.update, rows)


def show(label: str, run: Run) -> tuple[str, ...]:
    """Print and return a line of the table; for refinement print what it said, too."""
    cells = (label, f"{run.seconds:.1f}", f"{run.peak_bytes / 1e6:.0f}")
    print("{:<24}{:>8}{:>7}".format(*cells), flush=True)
    if said := SAID.search(run.output):
        each = {stage: 1000 * float(said[stage]) / int(said["moved"]) for stage in ("features", "grey")}
        print(f"  {said[0]}; {each['features']:.2f} ms a keypoint by features, {each['grey']:.2f} ms by grey values")
    return cells


if __name__ == "__main__":
    main()
