"""Queries in maps that were made without them: ``python benchmarks/localization.py DATA [OPTIONS]``.

DATA holds folders of sets, each with ``images/`` and ``ground_truth/`` (a COLMAP model). Features of a set are
extracted once and all pairs matched once. Then each photograph, for each seed, is taken out of a copy of that database
before pairs are verified and keypoints refined. What is left is verified by the true cameras, and triangulated with
them. The photograph is localized there, with its true camera for the sets of ``KNOWN``, with none for others.
Photographs of the other sets are localized in the first map of each set and seed, where none should be accepted. At
last the time of a query in a loaded map is compared with that of its extraction, both warm, in this process alone.

Prints a row for each set and seed, and writes all numbers to --output. Maps are made in --processes worker processes of
one thread each, which share the device. --work DIR keeps databases and results, and continues from those it finds.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from exactness import known_camera
from pages import add_update, update
from pool import workers

from d2sfm.database import FeatureStore
from d2sfm.evaluation.poses import pose_errors
from d2sfm.exchange.remove import remove_images
from d2sfm.extraction.extract import extract_to_database
from d2sfm.localization.localizer import Localizer
from d2sfm.localization.outcome import Pose
from d2sfm.mapping.triangulate import triangulate
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraOptions,
    ExtractionOptions,
    LocalizationOptions,
    MapCacheOptions,
    Precision,
    RefinementOptions,
    TriangulationOptions,
    VerificationOptions,
)
from d2sfm.photographs.reading import list_photographs
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

SETS = ("herz_jesus_p8", "fountain_p11", "sacre_coeur")
KNOWN = SETS[:2]  # whose photographs are all of one camera
CACHE_GB = 200.0
TIMED = 8  # queries of a set
HEADER = (
    "",
    "seed",
    "placed",
    "rotation, deg",
    "worst, deg",
    "centre, mm",
    "worst, mm",
    "centre, % of extent",
    "worst, %",
    "focal length, worst, %",
    "fewest that agree",
    "foreign placed",
    "most that agree",
    "query / extraction",
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One map, without one photograph of its set."""

    data: Path
    work: Path
    name: str
    query: str
    seed: int
    precision: Precision
    foreign: tuple[tuple[str, str], ...]  # sets and photographs

    @property
    def folder(self) -> Path:
        return self.work / f"{self.name}_{self.seed}_{self.query}"

    @property
    def images(self) -> Path:
        return self.data / self.name / "images"

    @property
    def cache(self) -> MapCacheOptions:
        return MapCacheOptions(cache=self.work / f"maps_{self.name}", cache_limit=CACHE_GB)

    @property
    def truth(self) -> pycolmap.Reconstruction:
        return pycolmap.Reconstruction(self.data / self.name / "ground_truth")


def extracted(data: Path, work: Path, name: str, arguments: argparse.Namespace) -> None:
    """Features and matches of a set, and its early maps."""
    database, images, cameras = work / f"{name}.db", data / name / "images", CameraOptions()
    if name in KNOWN:
        cameras = known_camera(pycolmap.Reconstruction(data / name / "ground_truth"))
    options = ExtractionOptions(max_edge=arguments.max_edge, precision=arguments.precision)
    cache = MapCacheOptions(cache=work / f"maps_{name}", cache_limit=CACHE_GB)
    extract_to_database(database, images, options=options, cameras=cameras, cache=cache)
    match_database(database, verification=None)


def localized(task: Task) -> dict[str, object]:
    """Make a map without the query, place that in it, and the foreign ones. What is there is not done again."""
    result = task.folder / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir()
    database, started = task.folder / "db.db", time.perf_counter()
    shutil.copy(task.work / f"{task.name}.db", database)
    remove_images(database, [task.query])
    reference = task.data / task.name / "ground_truth"
    match_database(database, verification=VerificationOptions(seed=task.seed), reference=reference, num_threads=1)
    options = RefinementOptions(seed=task.seed, precision=task.precision)
    refine_database(database, task.images, options=options, cache=task.cache)
    triangulate(
        database,
        reference,
        task.folder / "model",
        images=task.images,
        options=TriangulationOptions(seed=task.seed, num_threads=1),
    )
    map_s = time.perf_counter() - started
    localizer, truth = loaded(task, task.cache), task.truth  # which owns its images
    [true] = [image for image in truth.images.values() if image.name == task.query]
    camera = true.camera if task.name in KNOWN else None
    found = localizer.localize(task.images / task.query, camera)
    row = {"set": task.name, "seed": task.seed, "query": task.query, "map_s": map_s, "candidates": found.candidates}
    row |= {"inliers": found.inliers, "accepted": isinstance(found, Pose), "rotation_deg": np.inf, "centre": np.inf}
    if isinstance(found, Pose):
        (row["rotation_deg"],), (row["centre"],) = pose_errors([found.cam_from_world], [true.cam_from_world()])
        row["focal_error"] = found.camera.mean_focal_length() / true.camera.mean_focal_length() - 1
    others = [localizer.localize(task.data / name / "images" / query) for name, query in task.foreign]
    row["foreign"] = [
        {"query": f"{name}/{query}", "inliers": other.inliers, "accepted": isinstance(other, Pose)}
        for (name, query), other in zip(task.foreign, others, strict=True)
    ]
    result.write_text(json.dumps(row))
    return row


def loaded(task: Task, cache: MapCacheOptions | None = None) -> Localizer:
    """The map of a task that is done. cache: of early maps (default: in memory)."""
    options = LocalizationOptions(seed=task.seed)
    return Localizer(
        task.folder / "db.db", task.folder / "model" / "0", images=task.images, options=options, cache=cache
    )


def extent(truth: pycolmap.Reconstruction) -> float:
    """Of the centres of its cameras."""
    return float(np.linalg.norm(np.ptp([image.projection_center() for image in truth.images.values()], axis=0)))


def timed(task: Task) -> dict[str, float]:
    """Median seconds of a query and of its extraction, with a map of its set; the first round only warms up."""
    localizer, seconds = loaded(task), {"localize": [], "extract": []}
    for _ in range(2):
        for values in seconds.values():
            values.clear()
        for name in list_photographs(task.images)[:TIMED]:
            for what, call in (("localize", localizer.localize), ("extract", localizer.extractor.extract)):
                started = time.perf_counter()
                call(task.images / name)
                seconds[what].append(time.perf_counter() - started)
    medians = {f"{what}_s": statistics.median(values) for what, values in seconds.items()}
    return medians | {"ratio": medians["localize_s"] / medians["extract_s"]}


def table(rows: Sequence[dict], extents: dict[str, float], times: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    """The header, a row for each set and seed, and one for all seeds of a set."""
    lines = [HEADER]
    for name in dict.fromkeys(row["set"] for row in rows):
        of_set = [row for row in rows if row["set"] == name]
        seeds = sorted({row["seed"] for row in of_set})
        for label, members in [(str(seed), [row for row in of_set if row["seed"] == seed]) for seed in seeds] + [
            ("all", of_set)
        ]:
            errors = {key: np.array([row[key] for row in members]) for key in ("rotation_deg", "centre")}
            foreign = [each for row in members for each in row["foreign"]]
            cells = [f"{sum(row['accepted'] for row in members)} of {len(members)}"]
            for key, unit, digits in (("rotation_deg", 1, 3), ("centre", 1e3, 1), ("centre", 100 / extents[name], 2)):
                cells += [f"{unit * measure(errors[key]):.{digits}f}" for measure in (np.median, np.max)]
            focal = [abs(row["focal_error"]) for row in members if "focal_error" in row]
            cells += [f"{100 * max(focal):.2f}" if focal and name not in KNOWN else ""]
            cells += [str(min(row["inliers"] for row in members))]
            cells += [f"{sum(each['accepted'] for each in foreign)} of {len(foreign)}"]
            cells += [str(max((each["inliers"] for each in foreign), default=0))]
            lines.append((name, label, *cells, f"{times[name]['ratio']:.2f}" if name in times else "-"))
    return lines


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--queries", type=int, metavar="N", help="only the first N photographs of each set")
    parser.add_argument("--foreign", type=int, metavar="N", help="only the first N photographs of each other set")
    parser.add_argument("--max-edge", type=int, default=ExtractionOptions.max_edge)
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--no-times", dest="times", action="store_false", help="leave out the times of queries")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder to keep databases and results in")
    parser.add_argument("--output", type=Path, default=Path("localization.json"))
    add_update(parser)
    return parser.parse_args()


def planned(arguments: argparse.Namespace, work: Path) -> list[Task]:
    """All maps. The first one of each set and seed has the foreign queries."""
    photographs = {name: list_photographs(arguments.data / name / "images") for name in arguments.sets}
    tasks = []
    for name, queries in photographs.items():
        foreign = tuple((o, query) for o in photographs if o != name for query in photographs[o][: arguments.foreign])
        shared = {"data": arguments.data, "work": work, "name": name, "precision": arguments.precision}
        for number, query in enumerate(queries[: arguments.queries]):
            others = () if number else foreign
            tasks += [Task(query=query, seed=seed, foreign=others, **shared) for seed in range(arguments.seeds)]
    return sorted(tasks, key=lambda task: -len(task.foreign))  # the longest first


def main() -> None:
    """Parse, run, print."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        for name in arguments.sets:
            extracted(arguments.data, work, name, arguments)
        tasks = planned(arguments, work)
        with workers(arguments.processes) as pool:
            rows = list(pool.map(localized, tasks))
        first = {task.name: task for task in reversed(tasks)}
        times = {name: timed(task) for name, task in first.items()} if arguments.times else {}
        with FeatureStore(work / f"{arguments.sets[0]}.db") as store:
            settings = json.loads(next(iter(store.extracted().values())))
        extents = {name: extent(task.truth) for name, task in first.items()}
    rows.sort(key=lambda row: (arguments.sets.index(row["set"]), row["seed"], row["query"]))
    print(f"{settings['precision']}, {settings['max_edge']} px")
    lines = table(rows, extents, times)
    print(aligned(lines))
    update(arguments.update, lines)
    found = {"settings": settings, "extents": extents, "times": times, "queries": rows}
    arguments.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
