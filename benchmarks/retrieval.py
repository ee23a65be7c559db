"""What share of the verified pairs other ways to choose pairs find: ``python benchmarks/retrieval.py DB...``

The databases hold all pairs, matched and verified by d2sfm; they are not changed. Verified pairs are those with
--min-num-inliers or more that chance does not explain. For each way and number of neighbours: the pairs that are asked
for, their share of all pairs (which pairs drawn at random would find), and the share found of the verified pairs and
of these pairs' inlier matches. Spatial pairs where the photographs have GPS positions.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import numpy as np

from d2sfm.chance import chance_pairs
from d2sfm.database import FeatureStore, PairStore
from d2sfm.models import aligned
from d2sfm.options import PairKind, PairOptions, VerificationOptions
from d2sfm.pairs.selection import select_pairs
from d2sfm.pairs.spatial import positions_m

HEADER = ("database", "pairs by", "neighbours", "asked", "of all", "of verified", "of their inliers")
EVERYWHERE_M = 1e7  # the neighbours alone decide


def main() -> None:
    """Select and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", type=Path, nargs="+", metavar="DB", help="all pairs matched and verified")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--global-descriptors", type=Path, help="HDF5 file in hloc's layout, for a line more")
    parser.add_argument("--min-num-inliers", type=int, default=VerificationOptions.min_num_inliers)
    arguments = parser.parse_args()
    rows = [HEADER]
    for database in arguments.databases:
        for way, pairs in ways(database, arguments.global_descriptors).items():
            for number in arguments.neighbours:
                rows.append(
                    (database.stem, way, str(number), *measure(database, pairs, number, arguments.min_num_inliers))
                )
    print(aligned(rows))


def ways(database: Path, file: Path | None) -> dict[str, dict]:
    """Options of the pairs to be measured, by name."""
    found = {"retrieval": {"pairs": PairKind.RETRIEVAL}}
    if file is not None:
        found[file.stem] = {"pairs": PairKind.RETRIEVAL, "global_descriptors": file}
    with PairStore(database) as store:
        if positions_m(store.pose_priors(), use_altitude=False):
            found["spatial"] = {"pairs": PairKind.SPATIAL, "max_distance_m": EVERYWHERE_M}
    return found


def measure(database: Path, pairs: dict, number: int, min_num_inliers: int) -> tuple[str, ...]:
    """The columns of one way."""
    with FeatureStore(database) as features:
        factor = median(features.resize_factors().values())
        max_error = json.loads(features.setting("match"))["max_error"]
    with PairStore(database) as store:
        ids = {name: image_id for image_id, name in store.image_names().items()}
        by_chance = chance_pairs(store, max_error * factor)
        table = {tuple(sorted((ids[a], ids[b]))): inliers for a, b, _, inliers in store.pairs_table()}
        asked = set(map(tuple, select_pairs(store, PairOptions(num_neighbours=number, **pairs)).tolist()))
    verified = {pair for pair, inliers in table.items() if inliers >= min_num_inliers} - by_chance
    inliers = np.array([table[pair] for pair in sorted(verified)])
    found = np.array([pair in asked for pair in sorted(verified)])
    if len(table) < len(ids) * (len(ids) - 1) // 2 or not len(verified):
        raise SystemExit(f"{database} has {len(table)} pairs of {len(ids)} images, {len(verified)} of them verified")
    share = (len(asked) / len(table), found.mean(), inliers[found].sum() / inliers.sum())
    return (f"{len(asked)} of {len(table)}", *(f"{part:.3f}" for part in share))


if __name__ == "__main__":
    main()
