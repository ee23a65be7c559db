"""Keypoints of a matched database made exact, between match and reconstruct.

d2sfm refine --database db.db --images dir
"""

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from d2sfm.database import FeatureStore, MatchStore, RefinementStore, exclusive, require_own_features
from d2sfm.matching.match import verify_again
from d2sfm.matching.settings import LIMIT, allowed_error
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.options import MapCacheOptions, RefinementOptions, VerificationOptions
from d2sfm.photographs.photograph import missing_photographs, read_headers
from d2sfm.refinement.collection import Collection, ImageKeypoints, read_collection, read_images
from d2sfm.refinement.continuation import Continued
from d2sfm.refinement.exactness import MAX_ERROR, exact_limit_px
from d2sfm.refinement.stages import Stages, of_alignment
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.refinement.tracks import build_tracks
from d2sfm.skipped import Skipped
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What ``refine_database`` was given."""

    database: Path
    images: Path | str | None
    options: RefinementOptions
    cache: MapCacheOptions
    progress: bool


def refine_database(
    database: Path | str,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: MapCacheOptions | None = None,
    progress: bool = False,
) -> RefinementSummary:
    """Move the keypoints of verified matches so that they show the same point of the scene, and verify all pairs again,
    within options.max_error and else as matching did. Without one that is what ``exactness`` finds: pixels of the
    network's input, or of the photographs where keypoints are as exact as that.

    images: the folder of the photographs (default: the one that extraction recorded). cache: a folder of feature
    maps, as extraction fills it on request, which gets what it lacks; and how much is kept, there or else in memory.

    The original keypoints stay in the database, see ``restore_database``. Work goes on where a stopped run was, as long
    as matches and options are the same. Where the keypoints are refined already, pairs without geometry are verified,
    or all pairs where max_error or seed are others; rounds that are left are made.

    Raises FileNotFoundError where the database or the folder is missing, RuntimeError where the database is none or in
    use, holds keypoints of others only, no verified pairs or was refined otherwise, and ValueError for photographs that
    can't be read any more.
    """
    database, options = Path(database), options or RefinementOptions()
    cache = cache or MapCacheOptions()
    run = _Run(database=database, images=images, options=options, cache=cache, progress=progress)
    summary = RefinementSummary()
    with exclusive(database):
        require_own_features(database, "refine")
        done = _rounds_done(database, options)
        noted = VerificationOptions(**_noted_verification(database))
        verification = replace(noted, seed=options.seed)
        if done:  # what a stopped run has left of its pairs
            _verify(run, verification, summary)
        warn_of_unfinished(database, "the alignment")
        for rounds in range(done + 1, options.rounds + 1):
            _align(run, rounds, summary)
            _verify(run, verification, summary)
    return summary


def restore_database(database: Path | str, *, progress: bool = False) -> int:
    """Put the keypoints back that extraction found, verify their pairs as match did, and return of how many images.

    Raises as ``refine_database`` does.
    """
    database = Path(database)
    with exclusive(database):
        with RefinementStore(database) as store:
            restored = store.restore()
        noted = _noted_verification(database)
        if restored or noted:  # the latter also where a run that restored was stopped before it verified
            verify_again(database, VerificationOptions(**noted), progress=progress)
    return restored


def _noted_verification(database: Path) -> dict[str, int | float]:
    """The options of verification that d2sfm's matching noted, by name; none where the pairs are not its own."""
    with FeatureStore(database) as features:
        noted = features.notes.match_settings()
    return {name: noted[name] for name in asdict(VerificationOptions()).keys() & noted.keys()}


def _rounds_done(database: Path, options: RefinementOptions) -> int:
    """How many rounds of alignment there were. Where pairs are to be verified otherwise, geometries are removed."""
    with FeatureStore(database) as features:
        note, new = features.notes.refinement(), features.unrefined()
    if not note:
        return 0
    done = note.get("rounds", 1)
    if of_alignment(note) != of_alignment(asdict(options)) or done > options.rounds or new:
        what = f"and {first_of(new, 'image')} came after that" if new else f"with other options ({json.dumps(note)})"
        raise RuntimeError(
            f"{database} was refined before, {what}: run d2sfm refine --restore first, or go on without refining"
        )
    expected = _note(options, done)
    if options.max_error is None and LIMIT in note:  # found by a run before
        expected[LIMIT] = note[LIMIT]
    if note | of_alignment(note) != expected:
        with RefinementStore(database) as store:
            store.verify_otherwise(_note(options, done))
    return done


def _note(options: RefinementOptions, rounds: int) -> dict:
    """The options that decide positions and geometries after so many rounds."""
    max_error = MAX_ERROR if options.max_error is None else options.max_error
    return of_alignment(asdict(options)) | {"max_error": max_error, "seed": options.seed, "rounds": rounds}


def _verify(run: _Run, verification: VerificationOptions, summary: RefinementSummary) -> None:
    """Verify the pairs that have no geometry, then all within fewer pixels where their keypoints are so exact."""
    started = time.perf_counter()
    found = verify_again(run.database, verification, progress=run.progress)
    limit_px = exact_limit_px(run.database, verification) if run.options.max_error is None else None
    if limit_px is not None:
        with RefinementStore(run.database) as store:
            store.verify_otherwise(store.notes.refinement() | {LIMIT: limit_px})
        found = verify_again(run.database, verification, progress=run.progress)
    with FeatureStore(run.database) as features:
        summary.threshold = allowed_error(features)
    summary.verified, summary.pairs, summary.skipped = found.verified, found.pairs, len(found.skipped)
    summary.verification_s += time.perf_counter() - started


def _align(run: _Run, rounds: int, summary: RefinementSummary) -> None:
    """Align all tracks, and write the positions with a note of so many rounds."""
    started = time.perf_counter()
    folder, collection = _read(run)
    tracks = build_tracks(collection.image_of_node, collection.edges)
    in_tracks = np.unique(collection.image_of_node[tracks.of_node >= 0])
    _require_photographs(folder, [collection.images[number] for number in in_tracks])
    stages = Stages(
        database=run.database,
        folder=folder,
        collection=collection,
        tracks=tracks,
        options=run.options,
        cache=run.cache,
        progress=run.progress,
    )
    positions = stages.by_features()
    by_features = time.perf_counter()
    sigmas = None
    if run.options.grey:
        positions, sigmas = stages.by_grey_values(positions)
        summary.exact = int(np.isfinite(sigmas[tracks.observations()]).sum())
        summary.grey_s += time.perf_counter() - by_features
    _write(run, rounds, stages, positions, sigmas, summary)
    moves = np.linalg.norm(positions - collection.xy, axis=1)[tracks.observations()]
    summary.images, summary.tracks, summary.moved = len(collection.images), len(tracks.reference), len(moves)
    summary.median_move_px = float(np.median(moves)) if len(moves) else 0.0
    summary.alignment_s += by_features - started


def _write(
    run: _Run, rounds: int, stages: Stages, positions: np.ndarray, sigmas: np.ndarray | None, summary: RefinementSummary
) -> None:
    """Positions of all nodes, in pixels of their inputs, and tracks that are continued from there."""
    images, of_images = stages.collection.images, stages.collection.first_node[1:-1]
    by_image = zip(images, np.split(positions, of_images), strict=True)
    new, continued = {image.image_id: image.in_image(xy) for image, xy in by_image}, Continued({}, {}, {})
    if sigmas is not None and run.options.continue_:
        continued = stages.continued(positions, sigmas)
        summary.continued = sum(map(len, continued.keypoints.values()))
    if sigmas is not None:
        sigmas = dict(zip(new, np.split(sigmas, of_images), strict=True))
        sigmas = {each: np.append(sigma, continued.sigmas.get(each, [])) for each, sigma in sigmas.items()}
    with RefinementStore(run.database) as store:
        store.replace(new, _note(run.options, rounds), sigmas, continued[:2])


def _read(run: _Run) -> tuple[Path, Collection]:
    """The folder of the photographs, and what the database holds of them."""
    with FeatureStore(run.database) as features:
        folder = features.notes.find_images_folder(run.images)
        rows = read_images(features)
    missing = missing_photographs(folder, [row.name for row in rows])
    with MatchStore(run.database) as store:
        collection = read_collection(rows, store)
    if missing:
        logger.warning("not in %s, keypoints stay as they are: %s", folder, first_of(missing, "photograph"))
    return folder, collection.without(missing)


def _require_photographs(folder: Path, images: list[ImageKeypoints]) -> None:
    """ValueError that names the photographs which are gone, broken or of another size, before the long work."""
    sizes, unusable = {image.name: tuple(image.image_size) for image in images}, Skipped()
    read_headers(folder, sizes, unusable, sizes=sizes)
    if unusable:
        faults = [f"{name} {reason}" for name, reason in unusable.items()]
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"photographs in {folder} are not those of the features: {'; '.join(faults[:3])}{more}")
