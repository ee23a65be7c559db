"""What a local cluster costs: CPU time of its client and its workers, against one process that does the same.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py PHOTOS [--num-workers N] [--most COUNT] [--max-edge PX] [--repeat N]

Extracts, matches and, with --refine, refines the first COUNT photographs of the folder PHOTOS, in one process and by
workers, by turns, with one thread each. Prints the CPU seconds of each stage, and apart from them those in which the
cluster begins: Dask in the client, and in each worker Dask, torch and COLMAP. Says whether both databases are the same.
"""

import argparse
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import torch
from pages import add_update, update

from d2sfm.options import ExtractionOptions, VerificationOptions
from d2sfm.photographs.reading import require_photographs
from d2sfm.shards.cluster import cluster
from d2sfm.text import aligned
from d2sfm.workflow.by_cluster import StageFunctions, stage_functions

TABLES = ("cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries")
STAGES = ("begin", "extract", "match", "refine")
HEADER = ("CPU s", *STAGES)
UNTIL_ALL_BEGAN_S = 3


def main() -> None:
    """Do both by turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--most", type=int)
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--refine", action="store_true")
    add_update(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spent = {"one process": Counter(), f"{arguments.num_workers} workers": Counter()}
    alone, several = spent.values()
    with tempfile.TemporaryDirectory() as folder:
        (photographs := Path(folder, "photographs")).mkdir()
        for name in require_photographs(arguments.photographs)[: arguments.most]:
            shutil.copy(arguments.photographs / name, photographs)
        for number in range(arguments.repeat):
            databases = [Path(folder, f"{kind}{number}.db") for kind in ("alone", "several")]
            do(stage_functions(None), databases[0], photographs, arguments, alone)
            with cluster(arguments.num_workers) as workers:
                with timed(several, "begin"):
                    list(workers.run(begin, [()] * arguments.num_workers))
                do(stage_functions(workers), databases[1], photographs, arguments, several)
            are_same = contents(databases[0]) == contents(databases[1])
            print(f"run {number + 1}: the databases are {'the same' if are_same else 'NOT the same'}", flush=True)
    rows = [[name, *(f"{found[stage] / arguments.repeat:.1f}" for stage in STAGES)] for name, found in spent.items()]
    more = [f"{100 * (several[stage] / alone[stage] - 1):+.1f} %" if alone[stage] else "" for stage in STAGES]
    rows = [HEADER, *rows, ["more", *more]]
    print(aligned(rows))
    update(arguments.update, rows)
    work = [sum(found[stage] for stage in STAGES[1:]) for found in (alone, several)]
    print(f"without the beginning: {100 * (work[1] / work[0] - 1):+.1f} %")


def do(by: StageFunctions, database: Path, photographs: Path, arguments: argparse.Namespace, spent: Counter) -> None:
    """All stages."""
    with timed(spent, "extract"):
        by.extract(database, photographs, options=ExtractionOptions(max_edge=arguments.max_edge))
    with timed(spent, "match"):
        by.match(database, verification=VerificationOptions(), num_threads=1)
    if arguments.refine:
        with timed(spent, "refine"):
            by.refine(database, photographs)


def begin() -> None:
    """In a worker: import all, and be busy for so long that no other call comes to this one."""
    import d2sfm.workflow.by_cluster  # noqa: F401

    time.sleep(UNTIL_ALL_BEGAN_S)


@contextmanager
def timed(spent: Counter, stage: str) -> Iterator[None]:
    """Add the CPU seconds of the block, those of all processes below this one too, to a stage."""
    before = cpu_s()
    yield
    spent[stage] += cpu_s() - before


def cpu_s() -> float:
    """CPU seconds of this process and of those below it that live."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def contents(database: Path) -> list[list[tuple]]:
    """All rows of COLMAP's tables."""
    with closing(sqlite3.connect(database)) as connection:
        return [connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES]


if __name__ == "__main__":
    main()
