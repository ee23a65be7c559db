"""The town square by day and by night, from D2 and from SIFT at its best: ``python benchmarks/night.py FOLDER``.

Makes FOLDER/demo as ``d2sfm demo --night`` does, with D2's database, and beside it FOLDER/sift_*.db, whatever of these
is not there yet. Every SIFT of EXTRACTIONS is matched exactly, with RootSIFT's descriptors and each of RATIOS, and
verified with each of ERRORS_PX. The best is taken in SIFT's favour with the truth at hand: the most views in the
largest model of the first seed, then the most right pairs of day and night, then the smallest error of centres. It and
D2 are mapped with each seed, by the same mapping.

A pair is "verified" if it has a geometry, and "right" if at least half of its inliers agree with the true cameras
within TRUE_PX. Rows are medians over the seeds; errors are of the largest model, aligned with the truth.
"""

import argparse
import shutil
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from exactness import known_camera
from pages import add_update, update
from PIL import Image
from sift import extract_sift, verify_sift

from d2sfm.database import MatchStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.demo.photographs import is_by_night
from d2sfm.demo.show import show
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.epipolar import epipolar_errors_px
from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.options import DemoOptions, MatchingOptions, ReconstructionOptions
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.keypoints import draw_matches
from d2sfm.plots.palette import TEXT
from d2sfm.text import aligned

EXTRACTIONS = {
    "default": {},
    "faint": {"peak_threshold": 0.002},  # a third of the default contrast, for what is dark
}
MOST_FEATURES = 8000
RATIOS, ERRORS_PX = (0.8, 0.85, 0.9), (2.0, 4.0)
TRUE_PX = 4.0
WIDTH_PX, COLOURS, SHOWN = 800, 256, 60  # of the picture; matches in it, of each way
KINDS = ("day-day", "night-night", "day-night")
HEADER = (
    "",
    "views",
    "by day",
    "by night",
    "models",
    "points",
    "of 3+",
    "rotation day",
    "rotation night",
    "centre cm day",
    "centre cm night",
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A database with verified pairs. pairs: for each of KINDS all, verified and right ones."""

    name: str
    database: Path
    pairs: dict[str, tuple[int, int, int]]

    def row(self) -> tuple[str, ...]:
        return (self.name, *("{1} ({2})".format(*self.pairs[kind]) for kind in KINDS))


def main() -> None:
    """Print the choice, the pairs, and the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of mapping; the first is the choice's")
    parser.add_argument("--picture", type=Path, help="also draw both ways' matches and D2's cameras, as PNG")
    add_update(parser)
    arguments = parser.parse_args()
    demo = arguments.folder / "demo"
    if not (demo / "db.db").exists():
        show(demo, options=DemoOptions(night=True), progress=True)
    truth = pycolmap.Reconstruction(demo / "truth")
    d2 = Way(name="D2", database=demo / "db.db", pairs=count_pairs(demo / "db.db", truth))
    ways = list(sift_ways(arguments.folder, demo / "images", truth))
    first = {way.name: mapped(way, truth, arguments.seeds[0]) for way in ways}
    table = [("SIFT: extraction, ratio, error", *KINDS, "views", "centre cm")]
    table += [(*way.row(), f"{first[way.name][0]:.0f}", f"{first[way.name][-1]:.2f}") for way in ways]
    print(aligned(table))
    best = max(ways, key=lambda way: (first[way.name][0], way.pairs["day-night"][2], -first[way.name][-1]))
    print(f"\nchosen: {best.name}\n")
    best = replace(best, name=f"SIFT, the best of {len(ways)}")
    totals = (f"{kind}, of {d2.pairs[kind][0]}" for kind in KINDS)
    pairs = [("verified (right)", *totals), d2.row(), best.row()]
    print(aligned(pairs), end="\n\n")
    rows = [HEADER]
    for way in (d2, best):
        numbers = np.median([mapped(way, truth, seed) for seed in arguments.seeds], axis=0)
        rows.append((way.name, *(f"{n:.10g}" for n in numbers[:6]), *(f"{n:.3f}" for n in numbers[6:10])))
    print(aligned(rows))
    update(arguments.update, pairs, rows)
    if arguments.picture:
        draw(arguments.picture, demo, [d2, best])


def draw(path: Path, demo: Path, ways: list[Way]) -> None:
    """The middle pair of night and day, some of the matches that each way verified, and the demonstration's cameras."""
    names = sorted(file.name for file in (demo / "images").iterdir())
    pair = names[len(names) // 2], names[len(names) // 2 + 1]
    images = [load_photograph(demo / "images" / name) for name in pair]
    parts = [np.hstack(images)]
    for way in ways:
        with MatchStore(way.database) as store:
            ids = [store.image_ids()[name] for name in pair]
            inliers = store.inlier_matches(*ids)
            xy = [store.keypoints(each)[inliers[:, side], :2] for side, each in enumerate(ids)]
        shown = draw_matches(*images, *xy, most=SHOWN)
        label = f"{way.name.split(',')[0]}: {len(inliers)} verified matches"
        cv2.putText(shown, label, (12, 30), cv2.FONT_HERSHEY_DUPLEX, 0.9, TEXT, 1, cv2.LINE_AA)
        parts.append(shown)
    parts.append(load_photograph(demo / "cameras.png"))
    parts = [
        cv2.resize(each, (WIDTH_PX, WIDTH_PX * len(each) // each.shape[1]), interpolation=cv2.INTER_AREA)
        for each in parts
    ]
    Image.fromarray(np.vstack(parts)).quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def sift_ways(folder: Path, images: Path, truth: pycolmap.Reconstruction):
    """Every database of SIFT, verified with seed 0."""
    for label, extraction in EXTRACTIONS.items():
        features = folder / f"sift_{label.replace(', ', '_')}.db"
        if not features.exists():
            partial = features.with_suffix(".part")
            extract_sift(partial, images, known_camera(truth), max_num_features=MOST_FEATURES, **extraction)
            partial.rename(features)
        for ratio in RATIOS:
            matched = features.with_stem(f"{features.stem}_{ratio:g}")
            shutil.copy(features, matched)
            match_exactly(matched, ratio)
            for error_px in ERRORS_PX:
                verified = features.with_stem(f"{features.stem}_{ratio:g}_{error_px:g}")
                shutil.copy(matched, verified)
                verify_sift(verified, 0, error_px)
                name = f"SIFT, {label}, {ratio:g}, {error_px:g} px"
                yield Way(name=name, database=verified, pairs=count_pairs(verified, truth))


def match_exactly(database: Path, ratio: float) -> None:
    """Mutual nearest neighbours of all pairs that pass the ratio test from both sides."""
    with open_pycolmap(database) as colmap, pycolmap.DatabaseTransaction(colmap):
        ids = sorted(image.image_id for image in colmap.read_all_images())
        descriptors = {each: colmap.read_descriptors(each).data.astype(np.float32) for each in ids}
        for each in descriptors.values():
            each /= np.linalg.norm(each, axis=1, keepdims=True)
        for (a, of_a), (b, of_b) in combinations(descriptors.items(), 2):
            matches = mutual_nearest_neighbours(of_a, of_b, MatchingOptions(ratio=ratio))
            colmap.write_matches(a, b, matches.astype(np.uint32))


def count_pairs(database: Path, truth: pycolmap.Reconstruction) -> dict[str, tuple[int, int, int]]:
    """All pairs, those with a geometry and the right ones of these, for each of KINDS."""
    counts = {kind: np.zeros(3, int) for kind in KINDS}
    images = {image.name: image for image in truth.images.values()}
    with MatchStore(database) as store:
        names = store.image_names()
        for a, b in combinations(sorted(names), 2):
            pair = images[names[a]], images[names[b]]
            dark = sum(is_by_night(image.name) for image in pair)
            kind = "day-night" if dark == 1 else "night-night" if dark else "day-day"
            inliers = store.inlier_matches(a, b)
            xy = store.keypoints(a)[inliers[:, 0], :2], store.keypoints(b)[inliers[:, 1], :2]
            pose = pair[1].cam_from_world() * pair[0].cam_from_world().inverse()
            errors_px = epipolar_errors_px(pair[0].camera, xy[0], pair[1].camera, xy[1], pose)
            is_verified = len(inliers) > 0
            is_right = is_verified and np.mean(errors_px <= TRUE_PX) >= 0.5
            counts[kind] += (1, is_verified, is_right)
    return {kind: tuple(count.tolist()) for kind, count in counts.items()}


def mapped(way: Way, truth: pycolmap.Reconstruction, seed: int) -> np.ndarray:
    """The numbers of HEADER for one seed, and the median error of all centres in cm, [11]; nan where there are none."""
    copy = way.database.with_name("mapped.db")
    shutil.copy(way.database, copy)
    result = reconstruct(copy, copy.with_suffix(""), options=ReconstructionOptions(seed=seed, num_threads=1))
    if not result.models:
        return np.array([0.0] * 6 + [np.nan] * 5)
    model = pycolmap.Reconstruction(result.models[0])
    size = statistics(model)
    dark = [is_by_night(image.name) for image in model.images.values() if image.has_pose]
    numbers = [len(dark), len(dark) - sum(dark), sum(dark), len(result.models), size.points, size.points_of_three]
    try:
        errors = compare_with_truth(model, truth)
    except RuntimeError:  # too few views, or none near enough to the truth
        return np.array([*numbers, *[np.nan] * 5])
    by_night = np.array([is_by_night(name) for name in errors.names])
    for values in (errors.rotation_deg, 100 * errors.centre):
        numbers += [np.median(values[chosen]) if chosen.any() else np.nan for chosen in (~by_night, by_night)]
    return np.array([*numbers, np.median(100 * errors.centre)])


if __name__ == "__main__":
    main()
