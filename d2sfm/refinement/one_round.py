"""One alignment of the keypoints of a database: of all, or of new images alone."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.photographs.photograph import missing_photographs, read_headers
from d2sfm.refinement.collection import read_collection, read_images
from d2sfm.refinement.continuation import NOTHING_NEW, Continued
from d2sfm.refinement.outliers import OUTLIER, refuted_matches, with_outliers
from d2sfm.refinement.stages import Stages
from d2sfm.refinement.standing import Standing, read_standing
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.refinement.tracks import build_tracks
from d2sfm.skipped import Skipped
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What ``refine_database`` was given, but for what it does with earlier work."""

    database: Path
    images: Path | str | None
    options: RefinementOptions
    cache: MapCacheOptions
    progress: bool

    @classmethod
    def of(
        cls,
        database: Path | str,
        images: Path | str | None,
        options: RefinementOptions | None = None,
        cache: MapCacheOptions | None = None,
        progress: bool = False,
    ) -> "Run":
        """With the default options in place of None."""
        options, cache = options or RefinementOptions(), cache or MapCacheOptions()
        return cls(database=Path(database), images=images, options=options, cache=cache, progress=progress)


class Alignment(NamedTuple):
    """An alignment that is to be made."""

    note: Mapping  # of its options
    # Ids of images that came after the others were aligned: then only keypoints of these are, and the others stay.
    new: frozenset[int] = frozenset()


class Read(NamedTuple):
    """What the database holds for an alignment."""

    stages: Stages
    aligned: frozenset[int]  # ids of the images whose positions are to be written
    seconds: float  # that reading took


def align_tracks(run: Run, alignment: Alignment, read: Read, summary: RefinementSummary) -> None:
    """Align all tracks, and write the positions of images that verified pairs have."""
    started = time.perf_counter() - read.seconds
    stages = read.stages
    reference = stages.tracks.reference[stages.tracks.of_node[stages.moving]]
    positions = stages.by_features()
    by_features = time.perf_counter()
    sigmas = None
    continued = NOTHING_NEW
    if run.options.grey:
        positions, sigmas = stages.by_grey_values(positions)
        if run.options.continue_:
            positions, sigmas, continued = stages.continued(positions, sigmas)
        sigmas = with_outliers(stages.tracks, stages.collection.image_of_node, stages.moving, sigmas)
        summary.exact = int(np.isfinite(sigmas[stages.moving]).sum())
        summary.outliers = int((sigmas[stages.moving] == OUTLIER).sum())
        summary.continued = sum(map(len, continued.keypoints.values()))
    _write(run, alignment, read, positions, sigmas, continued)
    if run.options.grey:
        summary.grey_s += time.perf_counter() - by_features
    moves = np.linalg.norm(positions - stages.collection.xy, axis=1)[stages.moving]
    summary.images, summary.tracks = len(read.aligned), len(np.unique(reference))
    summary.moved = len(moves)
    if alignment.new:
        own = stages.tracks.observations()
        summary.staying = int((~stages.standing.are_continued[own]).sum()) - len(moves)
    summary.median_move_px = float(np.median(moves)) if len(moves) else 0.0
    summary.alignment_s += by_features - started


def _write(
    run: Run, alignment: Alignment, read: Read, positions: np.ndarray, sigmas: np.ndarray | None, continued: Continued
) -> None:
    """Positions of nodes of these images, in pixels of their inputs, what continues their tracks, and what was refuted.

    sigmas: as of ``with_outliers``.
    """
    stages, aligned, collection = read.stages, read.aligned, read.stages.collection
    images, of_images = collection.images, collection.first_node[1:-1]
    found, refuted = {}, {}
    if sigmas is not None:  # those of references that stay are as of all that is exact to them
        known = np.where(sigmas == OUTLIER, np.nan, sigmas)
        split = zip(images, np.split(known, of_images), np.split(stages.standing.sigmas, of_images), strict=True)
        changed = {
            image.image_id: of_image
            for image, of_image, before in split
            if image.image_id in aligned or not np.array_equal(of_image, before, equal_nan=True)
        }
        found = {each: np.append(of_image, continued.sigmas.get(each, [])) for each, of_image in changed.items()}
        with MatchStore(run.database) as store:
            refuted = refuted_matches(store, collection, stages.tracks, sigmas, aligned)
    by_image = zip(images, np.split(positions, of_images), strict=True)
    placed = {image.image_id: image.in_image(xy) for image, xy in by_image if image.image_id in aligned}
    with RefinementStore(run.database) as store:
        store.replace(placed, alignment.note, found, continued[:2], refuted=refuted, others_stay=bool(alignment.new))


def read_stages(run: Run, new: frozenset[int] = frozenset()) -> Read:
    """What the database holds of the photographs.

    new: as of ``Alignment``. Raises ValueError if photographs that are looked at can't be used.
    """
    started = time.perf_counter()
    with FeatureStore(run.database) as features:
        folder = features.notes.find_images_folder(run.images)
        rows = read_images(features, continued=bool(new))
    missing = missing_photographs(folder, [row.name for row in rows])
    with MatchStore(run.database) as store:
        collection, continued = read_collection(rows, store, around=new or None), store.continued()
    if missing:
        logger.warning("not in %s, keypoints stay as they are: %s", folder, first_of(missing, "photograph"))
    collection, standing = collection.without(missing), Standing.nothing(collection)
    in_pairs = np.unique(collection.image_of_node[np.concatenate(collection.edges[:2])])
    aligned = frozenset(collection.images[number].image_id for number in in_pairs)
    if not new and not aligned:
        raise RuntimeError(f"{folder} lacks a photograph of every verified pair: give the folder of all (--images)")
    if new:
        with RefinementStore(run.database) as store:
            standing = read_standing(store, collection, new, continued)
    stages = Stages(
        database=run.database,
        folder=folder,
        collection=collection,
        tracks=build_tracks(collection.image_of_node, collection.edges, standing.of_nodes),
        options=run.options,
        cache=run.cache,
        progress=run.progress,
        standing=standing,
        scratch=run.database.parent,
    )
    _require_photographs(stages)
    return Read(stages, aligned & new if new else aligned, time.perf_counter() - started)


def _require_photographs(stages: Stages) -> None:
    """ValueError that names the photographs which are gone, broken or of another size, before the long work."""
    reference = stages.tracks.reference[stages.tracks.of_node[stages.moving]]
    looked_at = np.unique(stages.collection.image_of_node[np.concatenate([stages.moving, reference])])
    folder, images = stages.folder, [stages.collection.images[number] for number in looked_at]
    sizes, unusable = {image.name: tuple(image.image_size) for image in images}, Skipped()
    read_headers(folder, sizes, unusable, sizes=sizes)
    if unusable:
        faults = [f"{name} {reason}" for name, reason in unusable.items()]
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"photographs in {folder} are not those of the features: {'; '.join(faults[:3])}{more}")
