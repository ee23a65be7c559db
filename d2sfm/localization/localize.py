"""Poses of many photographs in a model.

d2sfm localize queries --database db.db --model sparse/0 --output poses.txt
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median

import numpy as np
import pycolmap

from d2sfm.colmap import model_files
from d2sfm.localization.journal import Journal
from d2sfm.localization.loaded_map import LoadedMap
from d2sfm.localization.localizer import Localizer
from d2sfm.localization.outcome import NotPlaced, Pose
from d2sfm.localization.outputs import draw, short_names, write_model, write_poses
from d2sfm.localization.queries import Queries, find_queries, read_cameras
from d2sfm.mapping.model_files import require_elsewhere
from d2sfm.notebook import Displayed
from d2sfm.options import LocalizationOptions, MapCacheOptions
from d2sfm.options.fields import deciding
from d2sfm.pairs.pair_files import read_candidates
from d2sfm.parts import require_folder
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.masks import Masks
from d2sfm.progress import Bar
from d2sfm.skipped import reason
from d2sfm.text import counted, first_line, first_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LocalizationSummary(Displayed):
    """What a run placed."""

    queries: int
    poses: Mapping[str, Pose]  # by name of the query, without positions and matches
    not_placed: Mapping[str, str]  # why, in words, by name of the query
    output: Path
    seconds: float

    def __str__(self) -> str:
        text = f"localize: {len(self.poses)} of {counted(self.queries, 'query')} placed"
        if self.poses:
            found = self.poses.values()
            inliers, error_px = median(pose.inliers for pose in found), median(pose.error_px for pose in found)
            text += f", by {inliers:g} keypoints within {error_px:.2f} px (medians), in {self.output}"
        return f"{text}, {self.seconds:.1f} s"


@dataclass(frozen=True, kw_only=True)
class LocalizationFiles:
    """What a run writes: a list of poses; on request a model with the queries, and pictures of matches."""

    output: Path = Path("poses.txt")
    write_model: Path | None = None
    pictures: Path | None = None
    base_names: bool = False


def localize(
    queries: Path | str | Sequence[Path | str],
    database: Path | str,
    model: Path | str,
    *,
    query_folder: Path | None = None,
    images: Path | str | None = None,
    query_cameras: Path | None = None,
    pairs: Path | None = None,
    options: LocalizationOptions | None = None,
    cache: MapCacheOptions | None = None,
    masks: Masks | None = None,
    files: LocalizationFiles | None = None,
    progress: bool = False,
) -> LocalizationSummary:
    """Place photographs in a model, and write their poses.

    queries, query_folder: see ``find_queries``; query_cameras: see ``read_cameras``; pairs: a file that names the
    candidates of each query; files: what is written, and where; all else as for ``Localizer``. Results of a stopped run
    are kept.

    Raises as these do, before any query is placed. Queries that can't be used are named in the summary.
    """
    started, files, options = time.perf_counter(), files or LocalizationFiles(), options or LocalizationOptions()
    given = [queries] if isinstance(queries, Path | str) else queries
    found = find_queries([Path(each) for each in given], query_folder)
    cameras = read_cameras(query_cameras, found.names) if query_cameras else {}
    _require_output(files, found.names, Path(model))
    masks = masks or Masks()
    localizer = Localizer(database, model, images=images, options=options, cache=cache)
    if files.pictures is not None:
        localizer.require_photographs("--pictures", "no --pictures")
    in_model = {image.name for image in localizer.map.model.images.values()}
    if files.write_model and (both := sorted(in_model & set(found.names))):
        raise ValueError(f"{both[0]} is also an image of the model: --write-model needs queries of other names")
    candidates = _candidates(pairs, found.names, localizer.map) if pairs else {}
    points = next(file for file in model_files(Path(model)) if file.stem == "points3D")
    settings = {"database": Path(database).resolve(), "model": Path(model).resolve(), **deciding(options)}
    settings |= {"made": points.stat().st_mtime_ns, "pairs": candidates, **masks.settings}
    keys = [_key(name, (found.folder / name, masks.path(name)), cameras.get(name)) for name in found.names]
    journal, is_finished = Journal(files.output, settings), False
    run = _Run(localizer, found, cameras, candidates if pairs else None, masks, files)
    try:
        left = [
            (name, key)
            for name, key in zip(found.names, keys, strict=True)
            if key not in journal.done or run.lacks_picture(name)
        ]
        for name, key in Bar(left, desc="localize", unit="query", disable=not progress):
            outcome = run.place(name)
            journal.write(key, outcome)
            run.draw(name, outcome)
        summary = _written(files, found.names, keys, journal, localizer, started)
        is_finished = True
    finally:
        journal.close(is_finished=is_finished)
    return summary


@dataclass(frozen=True)
class _Run:
    localizer: Localizer
    queries: Queries
    cameras: Mapping[str, pycolmap.Camera]
    candidates: Mapping[str, Sequence[str]] | None
    masks: Masks
    files: LocalizationFiles

    def place(self, name: str) -> Pose | NotPlaced | str:
        """Where a query was taken, or why it can't be used."""
        path = self.queries.folder / name
        if not path.exists():
            looked_at = os.path.join(self.queries.folder, name)  # of the folder "." that is "./a.jpg"
            return f"no file {looked_at}: names are relative to --query-folder (default: the folder of the list)"
        try:
            mask = self.masks(name, *read_header(path))
            chosen = None if self.candidates is None else self.candidates[name]
            return self.localizer.localize(path, self.cameras.get(name), candidates=chosen, mask=mask)
        except (ValueError, OSError) as error:
            return reason(error)

    def lacks_picture(self, name: str) -> bool:
        """Whether pictures are requested and a query has none: the journal does not keep what is drawn."""
        return self.files.pictures is not None and not self._picture(name).exists()

    def draw(self, name: str, found: Pose | NotPlaced | str) -> None:
        """The picture of a query, if it is requested; a warning if it can't be drawn, as the result is there."""
        if self.files.pictures is None or isinstance(found, str):
            return
        try:
            draw(self._picture(name), self.queries.folder / name, self.localizer.folder, found)
        except (ValueError, OSError) as error:
            logger.warning("no picture of %s: %s", name, first_line(error))

    def _picture(self, name: str) -> Path:
        return self.files.pictures / f"{name}.png"


def _require_output(files: LocalizationFiles, names: Sequence[str], model: Path) -> None:
    """Check before the long work whether results can be written."""
    require_folder(files.output)
    if files.output.is_dir():
        raise ValueError(f"{files.output} is a folder, expected a file for poses")
    if files.write_model is not None:
        require_elsewhere(files.write_model, model, "--write-model")
    written = list(short_names(names).values()) if files.base_names else names
    if comments := [name for name in written if name.startswith("#")]:
        raise ValueError(f"{comments[0]}: a line of poses that begins with # is a comment: rename the photograph")
    if spaced := [name for name in written if len(name.split()) > 1]:
        logger.warning("%s: names with spaces, which other readers of this list split: %s", files.output, spaced[0])


def _candidates(pairs: Path, queries: Sequence[str], loaded: LoadedMap) -> dict[str, list[str]]:
    """What a file names for each query, without photographs that the map does not use: retrieval knows all of them."""
    found = read_candidates(pairs, queries, {*loaded.names, *loaded.unusable})
    if left_out := sorted(loaded.unusable.intersection(chain.from_iterable(found.values()))):
        logger.warning("%s: left out, as the map has no points of them: %s", pairs, first_of(left_out, "image"))
    return {query: [name for name in names if name not in loaded.unusable] for query, names in found.items()}


def _key(name: str, files: Sequence[Path | None], camera: pycolmap.Camera | None) -> str:
    """What identifies a query in its present state. files: the photograph and its mask."""
    states = [path.stat() for path in files if path is not None and path.exists()]
    told = [name, *((state.st_size, state.st_mtime_ns) for state in states)]
    if camera is not None:
        told += [camera.model_name, camera.width, camera.height, camera.params.tolist()]
    return repr(told)


def _written(
    files: LocalizationFiles,
    names: Sequence[str],
    keys: Sequence[str],
    journal: Journal,
    localizer: Localizer,
    started: float,
) -> LocalizationSummary:
    """Write everything requested."""

    def placed() -> Iterator[tuple[str, Pose]]:
        found = zip(names, journal.read(keys), strict=True)
        return ((name, each) for name, each in found if isinstance(each, Pose))

    shown = short_names(names) if files.base_names else dict(zip(names, names, strict=True))
    write_poses(files.output, ((shown[name], pose) for name, pose in placed()))
    if files.write_model is not None:
        write_model(localizer.map.model, placed(), files.write_model)
    nowhere = np.zeros((0, 2)), np.zeros(0, np.int64)
    poses = {name: replace(pose, xy=nowhere[0], point_ids=nowhere[1]) for name, pose in placed()}
    results = zip(names, journal.read(keys), strict=True)
    not_placed = {name: str(each) for name, each in results if not isinstance(each, Pose)}
    return LocalizationSummary(
        queries=len(names),
        poses=poses,
        not_placed=not_placed,
        output=files.output,
        seconds=time.perf_counter() - started,
    )
