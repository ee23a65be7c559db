"""Pairs of large sets: ``python benchmarks/large_pairs.py [--images 10000] [DB ...]``

First, how often an image is read by those who share the blocks of pairs (``d2sfm pairs SHARDS``): of each image and its
20 nearest neighbours on a street or in a town, and where some neighbours are anywhere else, as those are that only look
alike. Images have --image-mb of features.

Then, where databases are given, which are not changed: the 20 neighbours of cut-outs of their photographs, found by
faiss on principal components, and how many of these are those that all numbers give. Processor time of both.
"""

import argparse
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pages import add_update, update
from scipy.spatial import cKDTree

from d2sfm.database import MatchStore
from d2sfm.pairs.arrays import nearest, unique_pairs
from d2sfm.pairs.blocks import images_read, pair_blocks
from d2sfm.pairs.retrieval import similarities
from d2sfm.pairs.vlad import make_vocabulary, vlad
from d2sfm.parts import scratch_folder
from d2sfm.shards.pairs import MOST_BYTES, MOST_PAIRS
from d2sfm.text import aligned

HEADER = ("images", "neighbours anywhere", "pairs", "blocks", "reads of a photograph", "CPU s")
NEIGHBOURS = 20
CUT_OUTS, SHARES, FEWEST_KEYPOINTS = 64, (0.35, 0.7), 40  # of a photograph; of its edges


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("databases", type=Path, nargs="*", metavar="DB", help="databases with features")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--image-mb", type=float, default=5.1, help="features of an image (default: 5.1, as of 5000)")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    for place, where in (("street", "along a street"), ("town", "all over a town")):
        for far in (0, 10, 30):
            rows.append(
                (
                    where,
                    f"{far} %" if far else "none",
                    *of_blocks(place, arguments.images, far / 100, arguments.image_mb),
                )
            )
    print(aligned(rows))
    update(arguments.update, rows)
    if arguments.databases:
        words = vocabulary(arguments.databases[0])
        print(of_faiss(np.concatenate([cut_outs(database, words) for database in arguments.databases])))


def of_blocks(place: str, count: int, far: float, image_mb: float) -> tuple[str, ...]:
    """The columns of a made set of pairs. far: the part of neighbours that are anywhere."""
    generator = np.random.default_rng(0)
    positions = generator.uniform(size=(count, 2)) * (1, 1 if place == "town" else 0)
    first = np.repeat(np.arange(count), NEIGHBOURS)
    second = cKDTree(positions).query(positions, NEIGHBOURS + 1)[1][:, 1:].ravel()
    second = np.where(generator.random(len(second)) < far, generator.integers(0, count, len(second)), second)
    pairs = unique_pairs(*np.stack([first, second])[:, first != second] + 1)
    started = time.process_time()
    blocks = pair_blocks(pairs, MOST_PAIRS, int(MOST_BYTES / (image_mb * 1e6)))
    seconds = time.process_time() - started
    return f"{len(pairs):,}", str(len(blocks)), f"{images_read(blocks) / count:.2f}", f"{seconds:.1f}"


@contextmanager
def opened(database: Path) -> Iterator[MatchStore]:
    """A copy of the database."""
    with scratch_folder() as scratch, MatchStore(shutil.copyfile(database, scratch / "copy.db")) as store:
        yield store


def vocabulary(database: Path) -> np.ndarray:
    """Words of a database."""
    with opened(database) as store:
        return make_vocabulary(store, list(store.image_names()))


def cut_outs(database: Path, words: np.ndarray) -> np.ndarray:
    """Global descriptors of random parts of the photographs of a database, [N, D] float16."""
    generator, found = np.random.default_rng(0), []
    with opened(database) as store:
        for image_id in store.image_names():
            descriptors, keypoints = store.descriptors(image_id).astype(np.float32), store.keypoints(image_id)
            corner, size = keypoints.min(axis=0), np.ptp(keypoints, axis=0)
            for _ in range(CUT_OUTS):
                edges = size * generator.uniform(*SHARES)
                begin = corner + (size - edges) * generator.random(2)
                inside = ((keypoints >= begin) & (keypoints <= begin + edges)).all(axis=1)
                if inside.sum() >= FEWEST_KEYPOINTS:
                    found.append(vlad(descriptors[inside], words).astype(np.float16))
    return np.array(found)


def of_faiss(descriptors: np.ndarray) -> str:
    """What neighbours by faiss are to those by all numbers, in words."""
    from d2sfm.pairs.reduced import nearest_reduced

    started = time.process_time()
    found = set(zip(*nearest_reduced(descriptors, NEIGHBOURS), strict=True))
    between = time.process_time()
    expected = set(zip(*nearest(similarities(descriptors), len(descriptors), NEIGHBOURS), strict=True))
    seconds = (between - started, time.process_time() - between)
    return (
        f"{len(descriptors)} cut-outs: by faiss {seconds[0]:.1f} s, by all numbers {seconds[1]:.1f} s, "
        f"recall {len(found & expected) / len(expected):.4f}"
    )


if __name__ == "__main__":
    main()
