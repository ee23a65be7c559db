"""What refinement by shares takes of processor time beside refinement in one process, and whether both are the same.

python benchmarks/refinement_shares.py DATABASE --images DIR --cache DIR --shares 3 7

One thread, one process: what it takes to start others comes on top. The database stays as it is.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pages import add_update, update

from d2sfm.database import MatchStore, RefinementStore, working_copy
from d2sfm.options import MapCacheOptions, Precision, RefinementOptions
from d2sfm.refinement.gather import gather_shares
from d2sfm.refinement.refine import refine_database
from d2sfm.refinement.shares import align_share
from d2sfm.text import aligned

HEADER = ("shares", "command without --shard, s", "shares together, s", "in all, s", "same")


def main() -> None:
    """Refine copies, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--shares", type=int, nargs="+", default=[3, 7])
    add_update(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = RefinementOptions(device="cpu", precision=Precision.FLOAT32)
    given = {"options": options, "cache": MapCacheOptions(cache=arguments.cache)}
    rows = [HEADER]
    with tempfile.TemporaryDirectory() as scratch:
        one = Path(scratch) / "one.db"
        working_copy(arguments.database, one)
        seconds = timed(lambda: refine_database(one, arguments.images, **given))[1]
        rows.append(["none", "", "", f"{seconds:.1f}", ""])
        for of in arguments.shares:
            database = Path(scratch) / f"{of}.db"
            working_copy(arguments.database, database)
            gathering, working = by_shares(database, of, arguments.images, given)
            seconds = f"{gathering:.1f}", f"{working:.1f}", f"{gathering + working:.1f}"
            rows.append([f"{of}", *seconds, "yes" if contents(database) == contents(one) else "no"])
    print(aligned(rows))
    update(arguments.update, rows)


def by_shares(database: Path, of: int, images: Path | None, given: dict) -> tuple[float, float]:
    """Refine by so many shares; CPU seconds of the one process that opens the database, and of all others."""
    folder, gathering, working = database.with_suffix(""), 0.0, 0.0
    while True:
        state, seconds = timed(lambda: gather_shares(database, folder, images, of=of, **given))
        gathering += seconds
        if state.refinement is not None:
            return gathering, working
        for number in state.missing:
            working += timed(lambda number=number: align_share(folder, number, of, images, **given))[1]


def timed(work: Callable) -> tuple[object, float]:
    """What it returns, and its CPU seconds."""
    begun = time.process_time()
    return work(), time.process_time() - begun


def contents(database: Path) -> list[bytes]:
    """Keypoints and how sure they are, and matches with those that agree, as bytes."""
    with RefinementStore(database) as store:
        images = sorted(store.refined())
        found = [each.tobytes() for image in images for each in (store.keypoints(image), store.sigmas(image))]
    with MatchStore(database) as store:
        pairs = [(a, b) for a in images for b in images if a < b]
        return found + [each.tobytes() for pair in pairs for each in store.told_matches(*pair)]


if __name__ == "__main__":
    main()
