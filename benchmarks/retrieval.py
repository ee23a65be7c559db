"""What share of the verified pairs other ways to choose pairs find: ``python benchmarks/retrieval.py DB...``

The databases hold all pairs, matched and verified by d2sfm; they are not changed. Verified pairs are those with
--min-num-inliers or more that chance does not explain. For each way and number of neighbours: the pairs that are asked
for, how many of these are verified, and what share that is of all verified pairs and of these pairs' inlier matches.
Spatial pairs where the photographs have GPS positions. --dense also runs the network over the photographs again, and
pools its map: generalised means of the responses, and VLAD of all cells.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pages import add_update, update
from torch.nn import functional as F

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.features.extractor import Extractor
from d2sfm.matching.chance import chance_pairs
from d2sfm.matching.settings import noted_thresholds
from d2sfm.network.input import normalise_batch
from d2sfm.network.strips import TrunkStrips
from d2sfm.options import ExtractionOptions, PairKind, PairSelectionOptions, Precision, VerificationOptions
from d2sfm.pairs.retrieval import retrieval
from d2sfm.pairs.select import select_pairs
from d2sfm.pairs.spatial import positions_m
from d2sfm.pairs.vlad import make_vocabulary, vlad
from d2sfm.photographs.reading import load_photograph
from d2sfm.text import aligned

HEADER = ("database", "pairs by", "neighbours", "asked", "verified", "of all verified", "of their inliers")
POWERS = (1, 3, 6)
STRIP_PX = 64

Way = Callable[[int], np.ndarray]  # from the number of neighbours to pairs


def main() -> None:
    """Select and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", type=Path, nargs="+", metavar="DB", help="all pairs matched and verified")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--min-num-inliers", type=int, default=VerificationOptions.min_num_inliers)
    parser.add_argument("--dense", action="store_true", help="pool the network's map, too")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    for database in arguments.databases:
        with FeatureStore(database) as features:
            thresholds = noted_thresholds(features)
            folder = features.notes.images_folder()
            [settings] = {json.dumps(json.loads(text), sort_keys=True) for text in features.extracted().values()}
        with MatchStore(database) as store:
            ways = ways_of(store) | (dense_ways(store, folder, json.loads(settings)) if arguments.dense else {})
            by_chance = chance_pairs(store, thresholds)
            truth = verified_pairs(store, by_chance, arguments.min_num_inliers)
            images = len(store.image_names())
            for way, pairs_by in ways.items():
                for number in arguments.neighbours:
                    pairs = set(map(tuple, pairs_by(number).tolist()))
                    rows.append((database.stem, way, str(number), *measure(pairs, truth, images * (images - 1) // 2)))
    print(aligned(rows))
    update(arguments.update, rows)


def ways_of(store: MatchStore) -> dict[str, Way]:
    """What ``match --pairs`` offers."""

    def select(number: int, **options) -> np.ndarray:
        return select_pairs(store, PairSelectionOptions(num_neighbours=number, **options))

    found = {"retrieval": partial(select, pairs=PairKind.RETRIEVAL)}
    if positions_m(store.pose_priors(), use_altitude=False):
        found["spatial"] = partial(select, pairs=PairKind.SPATIAL, max_distance_m=1e7)  # neighbours alone decide
    return found


@torch.inference_mode()
def dense_ways(store: MatchStore, folder: Path, settings: dict) -> dict[str, Way]:
    """Retrieval by what is pooled from the map of conv4_3. settings: those of the database's features."""
    sizes = {name: settings[name] for name in ("max_edge", "max_sum_edges", "preprocessing", "relu")}
    extractor = Extractor(ExtractionOptions(precision=Precision.AUTO, **sizes))
    names = store.image_names()
    vocabulary = make_vocabulary(store, list(names))
    pooled = {f"mean, p = {power}": [] for power in POWERS} | {"VLAD of cells": []}
    for name in names.values():
        responses = cells(extractor, load_photograph(folder / name))
        for power in POWERS:
            pooled[f"mean, p = {power}"].append(F.normalize(responses.pow(power).mean(0).pow(1 / power), dim=0).numpy())
        pooled["VLAD of cells"].append(vlad(F.normalize(responses, dim=1).numpy(), vocabulary))
    ids = np.array(list(names), np.uint32)
    return {way: partial(retrieval, ids, np.stack(vectors)) for way, vectors in pooled.items()}


def cells(extractor: Extractor, photograph: np.ndarray) -> torch.Tensor:
    """Responses of all cells of a photograph, [cells, 512] float32."""
    pixels = torch.from_numpy(extractor.prepare(photograph).pixels)[None]
    strips, found = TrunkStrips(extractor.trunk.layers()), []
    for begin in range(0, pixels.shape[1], STRIP_PX):
        rows = normalise_batch(
            pixels[:, begin : begin + STRIP_PX].to(extractor.device), extractor.options.preprocessing
        )
        last = begin + STRIP_PX >= pixels.shape[1]
        found.append(strips.push(rows.to(extractor.precision), last=last).float().cpu())
    return torch.cat(found, dim=2)[0].flatten(1).T


def verified_pairs(store: MatchStore, by_chance: np.ndarray, min_num_inliers: int) -> dict[tuple[int, int], int]:
    """Inlier matches of the pairs that count as verified."""
    images, counts = len(store.image_names()), store.pair_counts()
    if len(counts) < images * (images - 1) // 2:
        raise SystemExit(f"{store.path} has {len(counts)} pairs of {images} images: match all of them first")
    counts = counts[(counts["inliers"] >= min_num_inliers) & ~np.isin(counts["pair_id"], by_chance)]
    pairs = map(tuple, image_pairs(counts["pair_id"]).tolist())
    return dict(zip(pairs, counts["inliers"].tolist(), strict=True))


def measure(pairs: set[tuple[int, int]], truth: dict[tuple[int, int], int], total: int) -> tuple[str, ...]:
    """The columns of one way."""
    found = truth.keys() & pairs
    inliers = sum(truth[pair] for pair in found) / sum(truth.values())
    return (f"{len(pairs)} of {total}", str(len(found)), f"{len(found) / len(truth):.3f}", f"{inliers:.3f}")


if __name__ == "__main__":
    main()
