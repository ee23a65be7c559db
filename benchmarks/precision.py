"""What another precision of the network does to keypoints and matches: ``python benchmarks/precision.py FOLDER``.

Extracts the photographs of FOLDER in float32 and in --precision, matches and verifies all pairs of both, and float32
once more with another seed of RANSAC: what that changes is noise. Prints verified matches of each, their ratio to
float32's, and the share of float32's that come again: with both keypoints within a pixel of the network's input.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from pages import add_update, update
from scipy.spatial import cKDTree

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import ExtractionOptions, Precision, VerificationOptions
from d2sfm.text import aligned

HEADER = ("precision", "seed", "keypoints", "matches", "verified", "of float32's", "come again")

Matches = dict[tuple[int, int], np.ndarray]  # by pair: [K, 4] x and y in both images, in pixels of the network's input


def main() -> None:
    """Extract, match, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--precision", type=Precision, default=Precision.BFLOAT16)
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge)
    add_update(parser)
    arguments = parser.parse_args()
    rows, base = [HEADER], None
    with tempfile.TemporaryDirectory() as scratch:
        for precision, seeds in ((Precision.FLOAT32, (0, 1)), (arguments.precision, (0,))):
            features = Path(scratch) / f"{precision}.db"
            extraction = ExtractionOptions(precision=precision, max_edge=arguments.max_edge)
            keypoints = extract_to_database(features, arguments.folder, options=extraction).keypoints
            for seed in seeds:
                database = Path(scratch) / f"{precision}_{seed}.db"
                shutil.copy(features, database)
                options = VerificationOptions(seed=seed)
                summary = match_database(database, verification=options)
                found = verified_matches(database, options.min_num_inliers)
                base = base or found
                if not base:
                    raise SystemExit(f"no pair of {arguments.folder} was verified in float32")
                count = sum(map(len, found.values()))
                ratio = count / sum(map(len, base.values()))
                again = share_again(base, found)
                row = (precision, seed, keypoints, summary.matches, count, f"{ratio:.3f}")
                rows.append((*map(str, row), f"{again:.3f}"))
    print(f"{arguments.folder}, --max-edge {arguments.max_edge}")
    print(aligned(rows))
    update(arguments.update, rows)


def verified_matches(database: Path, min_num_inliers: int) -> Matches:
    """The inlier matches of all verified pairs."""
    with FeatureStore(database) as store:
        factors = store.resize_factors()
    with MatchStore(database) as store:
        found = {}
        for a, b in image_pairs(store.done_pairs(verified=True)).tolist():
            indices = store.inlier_matches(a, b)
            if len(indices) >= min_num_inliers:
                sides = [store.keypoints(i)[indices[:, k], :2] / factors[i] for k, i in enumerate((a, b))]
                found[a, b] = np.concatenate(sides, axis=1)
        return found


def share_again(base: Matches, found: Matches) -> float:
    """Share of the base's matches that are among the others, to one pixel in each coordinate."""
    again = 0
    for pair, matches in base.items():
        if pair in found:
            distance, _ = cKDTree(found[pair]).query(matches, p=np.inf)
            again += int((distance <= 1).sum())
    return again / sum(map(len, base.values()))


if __name__ == "__main__":
    main()
