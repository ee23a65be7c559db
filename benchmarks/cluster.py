"""What shares and local clusters cost: CPU time of all their processes, against one process that does the same.

OMP_NUM_THREADS=1 python benchmarks/cluster.py PHOTOS [--shares 3 ...] [--num-workers 2 ...] [--refine] [--repeat N]

Extracts, matches and, with --refine, refines the first photographs (--most COUNT) of the folder PHOTOS in one process,
by shares, each a command of its own, and by Dask's workers, by turns, with one thread each. Prints the CPU seconds of
each stage, for shares with the start of each command, and apart from them, as "begin", those in which a cluster starts:
Dask in the client, and in each worker Dask, torch and COLMAP. Says whether all databases are the same.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
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
from d2sfm.text import aligned, counted
from d2sfm.workflow.by_cluster import StageFunctions, stage_functions

TABLES = ("cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries")
STAGES = ("extract", "match", "refine")
HEADER = ("CPU s", "begin", *STAGES, "more than one process")
UNTIL_ALL_BEGAN_S = 3


def main() -> None:
    """Do all by turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--shares", type=int, nargs="*", default=[])
    parser.add_argument("--num-workers", type=int, nargs="*", default=[2])
    parser.add_argument("--most", type=int)
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--refine", action="store_true")
    add_update(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    alone = Counter()
    by_shares = {count: Counter() for count in arguments.shares}
    by_workers = {count: Counter() for count in arguments.num_workers}
    with tempfile.TemporaryDirectory() as folder:
        (photographs := Path(folder, "photographs")).mkdir()
        for name in require_photographs(arguments.photographs)[: arguments.most]:
            shutil.copy(arguments.photographs / name, photographs)
        for number in range(arguments.repeat):
            (run := Path(folder, f"{number}")).mkdir()
            do(stage_functions(None), run / "alone.db", photographs, arguments, alone)
            for count, spent in by_shares.items():
                do_by_shares(count, run / f"shares{count}.db", photographs, arguments, spent)
                compare(run / "alone.db", run / f"shares{count}.db")
            for count, spent in by_workers.items():
                with cluster(count) as workers:
                    with timed(spent, "begin"):
                        list(workers.run(begin, [()] * count))
                    do(stage_functions(workers), run / f"workers{count}.db", photographs, arguments, spent)
                compare(run / "alone.db", run / f"workers{count}.db")
    rows = [HEADER, row("one process", alone, alone, arguments.repeat)]
    rows += [row(counted(count, "share"), spent, alone, arguments.repeat) for count, spent in by_shares.items()]
    rows += [row(counted(count, "worker"), spent, alone, arguments.repeat) for count, spent in by_workers.items()]
    print(aligned(rows))
    update(arguments.update, rows)


def row(name: str, spent: Counter, alone: Counter, repeat: int) -> list[str]:
    """Means over the runs, and how much more all stages took without their beginning."""
    more = sum(spent[stage] for stage in STAGES) / sum(alone[stage] for stage in STAGES) - 1
    seconds = [f"{spent[stage] / repeat:.1f}" for stage in ("begin", *STAGES)]
    return [name, *seconds, "" if spent is alone else f"{100 * more:+.1f} %"]


def do(by: StageFunctions, database: Path, photographs: Path, arguments: argparse.Namespace, spent: Counter) -> None:
    """All stages."""
    with timed(spent, "extract"):
        by.extract(database, photographs, options=ExtractionOptions(max_edge=arguments.max_edge))
    with timed(spent, "match"):
        by.match(database, verification=VerificationOptions(), num_threads=1)
    if arguments.refine:
        with timed(spent, "refine"):
            by.refine(database, photographs)


def do_by_shares(count: int, database: Path, photographs: Path, arguments: argparse.Namespace, spent: Counter) -> None:
    """All stages by the commands of that many shares, one after the other."""
    shards, parts = database.with_suffix(".shards"), database.with_suffix(".parts")

    def d2sfm(stage: str, command: str, *words: object) -> None:
        told = [sys.executable, "-m", "d2sfm", command, *map(str, words)]
        with timed(spent, stage):
            ended = subprocess.run(told, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if ended.returncode not in (0, 1):  # 1: photographs are left out, or shares are missing yet
            raise SystemExit(f"{' '.join(told)} failed with {ended.returncode}: {ended.stderr}")

    shares = [f"{number}/{count}" for number in range(1, count + 1)]
    for share in shares:
        made = "--images", photographs, "--output", shards, "--max-edge", arguments.max_edge
        d2sfm("extract", "extract", *made, "--shard", share)
    d2sfm("match", "pairs", shards)
    for share in shares:
        d2sfm("match", "match", shards, "--shard", share)
    d2sfm("match", "assemble", shards, "--database", database, "--descriptors")
    if not arguments.refine:
        return
    refined = "refine", "--database", database, "--images", photographs, "--parts", parts
    d2sfm("refine", *refined)
    while (parts / "plan.npz").exists():
        for share in shares:
            d2sfm("refine", *refined, "--shard", share)
        d2sfm("refine", *refined)


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
    """CPU seconds of this process and of those below it, the ended ones too."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def compare(alone: Path, other: Path) -> None:
    """Say whether two databases hold the same."""
    same = contents(alone) == contents(other)
    print(f"{other.name}: {'the same as' if same else 'NOT the same as'} one process", flush=True)


def contents(database: Path) -> list[list[tuple]]:
    """All rows of COLMAP's tables."""
    with closing(sqlite3.connect(database)) as connection:
        return [connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES]


if __name__ == "__main__":
    main()
