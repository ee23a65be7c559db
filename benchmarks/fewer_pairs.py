"""What models of fewer pairs lack: ``python benchmarks/fewer_pairs.py DATABASE --ways exhaustive retrieval:10 ...``

DATABASE holds features that nothing is matched of (``d2sfm extract``), and stays as it is. A way is exhaustive,
retrieval:N or spatial:N, with N the neighbours of each image; +plain behind it leaves refinement out; sift matches
SIFT's own features of the same photographs exhaustively, with a shared camera where DATABASE has one. Each is matched,
verified, refined and mapped with each of --seeds. Prints the pairs, the size of the first model and its reprojection
error in pixels of the photographs, and how far its cameras are from their GPS positions in metres (see ``gps``), with
medians over the seeds, and the images that each seed gave.
"""

import argparse
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pycolmap
from gps import distances_m
from pages import add_update, update
from sift import extract_sift, match_sift, verify_sift

from d2sfm.database import FeatureStore, MatchStore, working_copy
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    MapCacheOptions,
    PairKind,
    PairSelectionOptions,
    ReconstructionOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

HEADER = (
    "database",
    "pairs by",
    "seed",
    "pairs",
    "images",
    "points",
    "track",
    "error px",
    "GPS, median m",
    "largest m",
)
FORMATS = (".10g", ".10g", ".10g", ".2f", ".2f", ".1f", ".1f")
PLAIN, SIFT = "+plain", "sift"


def main() -> None:
    """Match, map and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--ways", type=way, nargs="+", required=True, metavar="WAY")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    with tempfile.TemporaryDirectory() as scratch:
        for text in arguments.ways:
            folder = Path(scratch) / text.replace(":", "_")
            folder.mkdir()
            matched, maps = folder / "matched.db", MapCacheOptions(cache=Path(scratch) / "maps", cache_limit=100.0)
            prepare(text, arguments.database, matched)
            found = []
            for seed in arguments.seeds:
                database = verified(text, matched, seed, maps)
                pairs, model = mapped(database, seed)
                found.append(numbers(pairs, model, arguments.database))
                rows.append((arguments.database.stem, text, str(seed), *cells(found[-1])))
            images = ", ".join(f"{row[1]:g}" for row in found)
            summary = cells(np.median(found, axis=0))
            rows.append((arguments.database.stem, text, "median", summary[0], images, *summary[2:]))
            print(aligned([HEADER, *rows[-len(found) - 1 :]]), flush=True)
    update(arguments.update, rows)


def way(text: str) -> str:
    """Check a way of the command line."""
    kind, _, number = text.removesuffix(PLAIN).partition(":")
    if text == SIFT or (kind == PairKind.EXHAUSTIVE and not number):
        return text
    if kind in (PairKind.RETRIEVAL, PairKind.SPATIAL) and number.isdecimal():
        return text
    raise argparse.ArgumentTypeError(f"a way is exhaustive, retrieval:N, spatial:N or {SIFT}, found {text!r}")


def selection(text: str) -> PairSelectionOptions:
    """The pairs of a way."""
    kind, _, number = text.removesuffix(PLAIN).partition(":")
    return PairSelectionOptions(pairs=kind, **({"num_neighbours": int(number)} if number else {}))


def prepare(text: str, given: Path, matched: Path) -> None:
    """Write the database of a way, with matches and without geometries."""
    if text != SIFT:
        working_copy(given, matched)
        match_database(matched, verification=None, pairs=selection(text))
        return
    with FeatureStore(given) as store:
        images, cameras = store.notes.images_folder(), {image.camera_id for image in store.images().values()}
    mode = CameraMode.SINGLE if len(cameras) == 1 else CameraMode.AUTO
    extract_sift(matched, images, CameraOptions(camera_mode=mode))
    match_sift(matched)


def verified(text: str, matched: Path, seed: int, maps: MapCacheOptions) -> Path:
    """A copy of a way's database, verified and refined with this seed."""
    database = Path(shutil.copy(matched, matched.with_stem(str(seed))))
    if text == SIFT:
        verify_sift(database, seed)
        return database
    match_database(database, verification=VerificationOptions(seed=seed), pairs=selection(text))
    if not text.endswith(PLAIN):
        refine_database(database, options=RefinementOptions(seed=seed), cache=maps)
    return database


def mapped(database: Path, seed: int) -> tuple[int, pycolmap.Reconstruction]:
    """The number of matched pairs, and the first model, empty where there is none."""
    with MatchStore(database) as store:
        pairs = len(store.pair_counts())
    options = ReconstructionOptions(seed=seed, num_threads=1)
    models = reconstruct(database, database.with_suffix(""), options=options).models
    return pairs, pycolmap.Reconstruction(models[0]) if models else pycolmap.Reconstruction()


def numbers(pairs: int, model: pycolmap.Reconstruction, positions: Path) -> tuple[float, ...]:
    """The columns of one model. Not a number where they don't apply."""
    size, distances = statistics(model), distances_m(positions, model)
    far = (np.median(distances), np.max(distances)) if len(distances) else (math.nan, math.nan)
    return pairs, size.images, size.points, size.track_length, size.error_px, *far


def cells(row: tuple[float, ...]) -> tuple[str, ...]:
    """The texts of numbers."""
    return tuple(f"{n:{f}}" if math.isfinite(n) else "-" for n, f in zip(row, FORMATS, strict=True))


if __name__ == "__main__":
    main()
