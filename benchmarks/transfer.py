"""How exact matches are that D2's lead to: ``python benchmarks/transfer.py DATABASE TRUTH``.

DATABASE is one that ``d2sfm bridge`` has been at; TRUTH is a COLMAP model with the poses of its images, whose cameras
are the database's. Prints how many matches all pairs with a D2 geometry have together, and their distances from the
true epipolar lines in pixels of the photographs: those of D2, those of the extractor's own keypoints by transfer, with
its descriptors and without, and the extractor's own inliers.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pycolmap
from pages import add_update, update

from d2sfm.bridge.transfer import transferred
from d2sfm.colmap import read_model
from d2sfm.database import BridgeStore, FeatureStore, MatchStore, layer_of
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.matching.epipolar import epipolar_errors_px
from d2sfm.text import aligned

HEADER = ("matches", "number", "median px", "within 1 px", "within 2 px")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("truth", type=Path)
    add_update(parser)
    arguments = parser.parse_args()
    poses = {image.name: image.cam_from_world() for image in read_model(arguments.truth).images.values()}
    rows = [HEADER]
    for way, errors in errors_px(arguments.database, poses).items():
        shares = (f"{np.mean(errors <= limit):.3f}" for limit in (1, 2))
        rows.append((way, str(len(errors)), f"{np.median(errors):.3f}", *shares))
    print(aligned(rows))
    update(arguments.update, rows)


def errors_px(database: Path, poses: dict[str, pycolmap.Rigid3d]) -> dict[str, np.ndarray]:
    """Of all matches, by what gave them. poses: cam_from_world by names of images."""
    found = defaultdict(list)
    with BridgeStore(database) as store:
        counts, inliers = store.own_counts(), store.own_rows("two_view_geometries")
    with layer_of(database) as layer:
        with FeatureStore(layer) as features:
            factors = features.resize_factors()
        with MatchStore(layer) as d2, MatchStore(database) as own:
            names = own.image_names()
            for pair in map(tuple, image_pairs(d2.done_pairs(verified=True)).tolist()):
                if len(d2.inlier_matches(*pair)) and {names[image_id] for image_id in pair} <= poses.keys():
                    of_own = own.inlier_matches(*pair)[: inliers.get(int(pair_ids(*pair)), 0)]
                    a, b = (poses[names[image_id]] for image_id in pair)
                    for way, (xy_a, xy_b) in matched(own, d2, pair, counts, factors, of_own).items():
                        cameras = [own.camera(image_id) for image_id in pair]
                        found[way].append(epipolar_errors_px(cameras[0], xy_a, cameras[1], xy_b, b * a.inverse()))
    return {way: np.concatenate(errors) for way, errors in found.items()}


def matched(own, d2, pair, counts, factors, of_own) -> dict[str, list[np.ndarray]]:
    """Positions in both photographs of a pair's matches, by what gave them."""
    xy = [own.keypoints(image_id)[: counts[image_id]] for image_id in pair]
    of_d2 = [d2.keypoints(id_)[rows] for id_, rows in zip(pair, d2.inlier_matches(*pair).T, strict=True)]
    in_input = [xy_of / factors[id_] for both in (of_d2, xy) for id_, xy_of in zip(pair, both, strict=True)]
    descriptors = [own.others_descriptors(image_id)[: counts[image_id]] for image_id in pair]
    ways = {
        "transferred": transferred(*in_input, *descriptors),
        "transferred, by position alone": transferred(*in_input),
        "the extractor's own": of_own,
    }
    return {"D2": of_d2} | {way: [xy[0][rows[:, 0]], xy[1][rows[:, 1]]] for way, rows in ways.items()}


if __name__ == "__main__":
    main()
