"""Rate and memory of matching at the beginning, in the middle and at the end of a large set.

    python benchmarks/large_matching.py --images 10000 --features 500 [--database matching.db]

Writes a database of images along a line, in any order, with random descriptors in float16, of which neighbours share
those of the points that both see, and a list of each one's pairs with the 20 next. Some pairs are matched and verified
at each of the shares of the list; those before them are filled in with rows of one that was, so that the database is as
large as it will be then. The last run is asked for all pairs, most of which are there. Each row has the pairs that the
database holds and its size, pairs a second of processor time and of the clock, milliseconds of a thread that matching
and verification of a pair take, seconds that the run took before its first pair, and memory (resident, from Linux).
A database that is there is used again, where an earlier run stopped at the writing of pairs.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pycolmap
import torch
from matching import memory, unit
from pages import add_update, update

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.tables import FEATURES, columns
from d2sfm.features.record import Features
from d2sfm.matching import work as matching
from d2sfm.matching.match import match_database
from d2sfm.options import Convention, MatchingOptions, PairSelectionOptions, VerificationOptions
from d2sfm.pairs.arrays import in_tiles
from d2sfm.pairs.pair_files import write_pairs

SIZE_PX, FOCAL_PX = (1600, 1200), 1400
NEXT = 20  # images that each is paired with
HEADER = ("pairs there", "GB", "new", "/s of CPU", "/s", "matching ms", "verified ms", "before s", "MB", "peak MB")
SHARED = 0.5  # of the points that an image sees, at least, with each of these
TABLES = {"matches": "pair_id, rows, cols, data", "two_view_geometries": "pair_id, rows, cols, data, config, F, E, H"}


def main() -> None:
    """Write the database, match, print."""
    arguments = parse()
    torch.set_num_threads(1)
    if not arguments.database.exists():
        write_features(arguments.database, arguments.images, arguments.features, arguments.distinct)
    with MatchStore(arguments.database) as store:
        pairs, names = in_tiles(pairs_of(len(store.image_names()))), store.image_names()
    print(f"{len(names)} images of {arguments.features} features, {len(pairs)} pairs, {arguments.threads} threads")
    print("".join(f"{column:>13}" for column in HEADER), flush=True)
    rows = [HEADER]
    for share in arguments.shares:
        start = min(int(share * len(pairs)), len(pairs) - arguments.count)
        fill(arguments.database, pairs[:start])
        is_last = share == arguments.shares[-1]
        asked = pairs if is_last and start + arguments.count == len(pairs) else pairs[start : start + arguments.count]
        listed = arguments.database.with_suffix(".txt")
        write_pairs(listed, asked, names)
        rows.append(row(arguments.database, listed, start, arguments.threads))
    update(arguments.update, rows)


def row(database: Path, listed: Path, there: int, threads: int) -> tuple[str, ...]:
    """Match the pairs of a list, and print and return what that took."""
    begun: list[float] = []
    run_pairs = matching.run_pairs
    matching.run_pairs = lambda *given: begun.extend((time.process_time(), time.perf_counter())) or run_pairs(*given)
    called = time.process_time()
    summary = match_database(
        database,
        options=MatchingOptions(device="cpu"),
        verification=VerificationOptions(),
        pairs=PairSelectionOptions(pairs=str(listed)),
        num_threads=threads,
    )
    matching.run_pairs = run_pairs
    cpu, clock = time.process_time() - begun[0], time.perf_counter() - begun[1]
    number = summary.pairs - summary.already_there
    cells = (
        str(there),
        f"{database.stat().st_size / 1e9:.2f}",
        str(number),
        f"{number / cpu:.1f}",
        f"{number / clock:.1f}",
        f"{1e3 * summary.matching_s / number:.2f}",
        f"{1e3 * summary.verification_s / number:.2f}",
        f"{begun[0] - called:.2f}",
        f"{memory('VmRSS') / 1e6:.0f}",
        f"{memory('VmHWM') / 1e6:.0f}",
    )
    print("".join(f"{cell:>13}" for cell in cells), flush=True)
    return cells


def pairs_of(images: int) -> np.ndarray:
    """Each image with the next along the line, [P, 2] ids, smaller first."""
    first, step = np.divmod(np.arange(images * NEXT), NEXT)
    second = first + step + 1
    ids = 1 + np.random.default_rng(0).permutation(images)
    along = second < images
    return np.sort(np.stack([ids[first[along]], ids[second[along]]], 1), 1).astype(np.uint32)


def write_features(path: Path, images: int, features: int, distinct: int) -> None:
    """Images that look to one side of a straight way, each of as many points, with a part of these in common.

    distinct: images after which their features come again.
    """
    stride = points_between(features)
    camera = pycolmap.Camera(model="PINHOLE", width=SIZE_PX[0], height=SIZE_PX[1])
    camera.params, camera.has_prior_focal_length = [FOCAL_PX, FOCAL_PX, SIZE_PX[0] / 2, SIZE_PX[1] / 2], True
    with open_pycolmap(path) as colmap, pycolmap.DatabaseTransaction(colmap):
        camera_id = colmap.write_camera(camera)
        for image_id in range(1, images + 1):
            colmap.write_image(pycolmap.Image(name=f"{image_id:06}.jpg", camera_id=camera_id, image_id=image_id))
    generator = torch.Generator().manual_seed(0)
    order = 1 + np.random.default_rng(0).permutation(images)
    points = new_points(features, generator)
    with FeatureStore(path) as store:
        for image_id in order[:distinct].tolist():
            store.write(f"{image_id:06}.jpg", features_of(points, generator), "benchmark")
            following = new_points(stride, generator)
            points = [torch.cat([old[stride:], new]) for old, new in zip(points, following, strict=True)]

    repeat(path, [(int(image_id), int(order[place % distinct])) for place, image_id in enumerate(order)][distinct:])


def points_between(features: int) -> int:
    """Points after which the next image on the way begins, of so many that an image sees."""
    return int(features * (1 - SHARED) / NEXT)


def features_of(points: list[torch.Tensor], generator: torch.Generator) -> Features:
    """What an image has of the points that it sees, in their order along the way, as of ``new_points``."""
    descriptors, depth, across = points
    count = len(depth)
    along_m = 12 * (np.arange(count) / count - 0.5)
    x = FOCAL_PX * along_m / depth.numpy() + SIZE_PX[0] / 2
    keypoints = np.stack([x, across.numpy(), np.ones(count), np.zeros(count)], 1)
    keypoints[:, :2] += 0.5 * torch.randn(count, 2, generator=generator).numpy()
    noise = unit(torch.rand(count, 512, generator=generator) - 0.5)
    return Features(
        keypoints=keypoints.astype(np.float32),
        descriptors=unit(descriptors + 0.6 * noise).half().numpy(),
        image_size=SIZE_PX,
        input_size=SIZE_PX,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def repeat(path: Path, images: list[tuple[int, int]]) -> None:
    """Give images, the first of each two, the features of the second."""
    with Connection(path) as connection, connection.transaction():
        for table in ("keypoints", "descriptors", FEATURES):
            others = ", ".join(f'"{name}"' for name in columns(connection, table) if name != "image_id")
            copied = f"INSERT INTO {table} (image_id, {others}) SELECT ?, {others} FROM {table} WHERE image_id = ?"
            connection.run_many(copied, images)


def new_points(number: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Descriptors [N, 512], depths in metres [N] and y in the picture [N]."""
    depth = 10 + 10 * torch.rand(number, generator=generator)
    return [unit(torch.randn(number, 512, generator=generator)), depth, 1200 * torch.rand(number, generator=generator)]


def fill(database: Path, pairs: np.ndarray) -> None:
    """Give those of the pairs that have none the rows of one that is matched and verified."""
    with Connection(database) as connection, connection.transaction():
        there = connection.table("SELECT pair_id FROM matches", [("pair_id", np.int64)])["pair_id"]
        lacking = np.setdiff1d(pair_ids(*pairs.T), there)
        for table, columns in TABLES.items() if len(lacking) else ():
            median = f"SELECT {columns} FROM {table} WHERE rows > 0 ORDER BY rows LIMIT 1"
            [(_, *values)] = connection.rows(median.replace("LIMIT 1", f"LIMIT 1 OFFSET {len(there) // 2}"))
            marks = ", ".join("?" * (1 + len(values)))
            rows = ((pair_id, *values) for pair_id in lacking.tolist())
            connection.run_many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--features", type=int, default=500, help="of each image")
    parser.add_argument("--distinct", type=int, default=2000, help="images after which their features come again")
    parser.add_argument("--database", type=Path, default=Path("matching.db"), help="file to write")
    parser.add_argument("--shares", type=float, nargs="+", default=[0, 0.02, 0.5, 1], help="of the pairs, ascending")
    parser.add_argument("--count", type=int, default=2000, help="pairs that are matched at each of the shares")
    parser.add_argument("--threads", type=int, default=1)
    add_update(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
