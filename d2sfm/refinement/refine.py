"""Keypoints of a matched database made exact, between match and reconstruct.

d2sfm refine --database db.db --images dir
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from d2sfm.database import FeatureStore, MatchStore, Note, RefinementStore, exclusive
from d2sfm.extraction.pipeline import reason
from d2sfm.matching.match import verify_again
from d2sfm.options import RefinementOptions, VerificationOptions
from d2sfm.photographs.headers import check_header
from d2sfm.refinement.adjustment import LARGEST_MOVE_PX, STAGES, Adjustment
from d2sfm.refinement.collection import Collection, ImageKeypoints, read_collection, read_images
from d2sfm.refinement.map_source import MapSource
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.tracks import Tracks, build_tracks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RefinementSummary:
    """What a run of ``refine_database`` did. Moves are in pixels of the network's input."""

    images: int = 0  # of the last round; 0 where the keypoints were refined already
    tracks: int = 0
    moved: int = 0  # keypoints that were aligned with their track's reference
    median_move_px: float = 0.0
    verified: int  # pairs with a geometry that the refined keypoints agree with
    pairs: int
    alignment_s: float  # of all rounds, as the next one
    verification_s: float

    def __str__(self) -> str:
        text = (
            f"{self.moved} keypoints of {self.tracks} tracks in {self.images} images moved by "
            f"{self.median_move_px:.2f} px of the input (median) in {self.alignment_s:.1f} s"
        )
        text = text if self.images else "keypoints are refined already"
        return f"refine: {text}, {self.verified} of {self.pairs} pairs verified again in {self.verification_s:.1f} s"


def refine_database(
    database: Path | str,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: Path | str | None = None,
    progress: bool = False,
) -> RefinementSummary:
    """Move the keypoints of verified matches so that they show the same point of the scene, and verify all pairs again,
    within options.max_error and else as matching did.

    images: the folder of the photographs (default: the one that extraction recorded). cache: a folder of feature maps,
    as extraction fills it on request; what it lacks is computed, and kept there within options.cache_limit.

    The original keypoints stay in the database, see ``restore_database``. Work goes on where a stopped run was, as long
    as matches and options are the same. Where the keypoints are refined already, pairs without geometry are verified,
    or all pairs where max_error or seed are others; rounds that are left are made.

    Raises FileNotFoundError where the database or the folder is missing, RuntimeError where the database is none or in
    use, holds no verified pairs or was refined otherwise, and ValueError for photographs that can't be read any more.
    """
    database, options = Path(database), options or RefinementOptions()
    outcome, alignment_s, verification_s = {}, 0.0, 0.0
    with exclusive(database):
        done = _rounds_done(database, options)
        noted = VerificationOptions(**_noted_verification(database))
        verification = replace(noted, max_error=options.max_error, seed=options.seed)
        verified = None
        while verified is None or done < options.rounds:
            if done == 0 or verified is not None:
                started = time.perf_counter()
                outcome = _align(database, images, _note(options, done + 1), options, cache, progress)
                alignment_s, done = alignment_s + time.perf_counter() - started, done + 1
            started = time.perf_counter()
            verified = verify_again(database, verification, progress=progress)
            verification_s += time.perf_counter() - started
    return RefinementSummary(
        **outcome,
        verified=verified.verified,
        pairs=verified.pairs,
        alignment_s=alignment_s,
        verification_s=verification_s,
    )


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
    with RefinementStore(database) as store:
        note = store.note()
    if not note:
        return 0
    with FeatureStore(database) as features:
        new = features.unrefined()
    done = note.get("rounds", 1)
    if _of_alignment(note) != _of_alignment(asdict(options)) or done > options.rounds or new:
        what = f"and {len(new)} images came after that" if new else f"with other options ({json.dumps(note)})"
        raise RuntimeError(
            f"{database} was refined before, {what}: run d2sfm refine --restore first, or go on without refining"
        )
    if note != _note(options, done):
        with RefinementStore(database) as store:
            store.verify_otherwise(_note(options, done))
    return done


def _note(options: RefinementOptions, rounds: int) -> dict:
    """The options that decide positions and geometries after so many rounds."""
    return _of_alignment(asdict(options)) | {
        "max_error": options.max_error,
        "seed": options.seed,
        "rounds": rounds,
    }


def _of_alignment(options: dict) -> dict:
    """Of these, those that decide the positions."""
    return {name: options.get(name) for name in ("weights", "preprocessing", "precision")}


def _align(
    database: Path,
    folder: Path | str | None,
    note: dict,
    options: RefinementOptions,
    cache: Path | str | None,
    progress: bool,
) -> dict:
    """Align all tracks and write the positions with the note. Returns what the summary says of it."""
    with FeatureStore(database) as features:
        folder = Path(folder or features.notes.read(Note.IMAGES) or "")
        rows = read_images(features)
    if not folder.is_dir() or folder == Path():
        raise FileNotFoundError(f"no folder of photographs {folder}: give --images")
    with MatchStore(database) as store:
        collection = read_collection(rows, store)
    tracks = build_tracks(collection.image_of_node, collection.edges)
    _require_photographs(
        folder, [collection.images[i] for i in np.unique(collection.image_of_node[tracks.of_node >= 0])]
    )
    maps = MapSource(collection, folder, options, Path(cache) if cache else None)
    positions = collection.xy.copy()
    for nodes, xy in _aligned_parts(database, collection, tracks, maps, options, progress):
        positions[nodes] = xy
    moves = np.linalg.norm(positions - collection.xy, axis=1)[tracks.observations()]
    by_image = np.split(positions, collection.first_node[1:-1])
    with RefinementStore(database) as store:
        new = {image.image_id: image.in_image(xy) for image, xy in zip(collection.images, by_image, strict=True)}
        store.replace(new, note)
    return {
        "images": len(rows),
        "tracks": len(tracks.reference),
        "moved": len(moves),
        "median_move_px": float(np.median(moves)) if len(moves) else 0.0,
    }


def _require_photographs(folder: Path, images: list[ImageKeypoints]) -> None:
    """ValueError that names the photographs which are gone, broken or of another size, before the long work."""

    def fault(image: ImageKeypoints) -> str:
        try:
            size = check_header(folder / image.name)
        except (ValueError, OSError) as error:
            return f"{image.name} {reason(error)}"
        width, height = image.image_size
        return "" if size == (width, height) else f"{image.name} is {size[0]} x {size[1]} px, not {width} x {height}"

    with ThreadPoolExecutor() as pool:
        faults = [found for found in pool.map(fault, images) if found]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"photographs in {folder} are not those of the features: {'; '.join(faults[:3])}{more}")


def _aligned_parts(
    database: Path,
    collection: Collection,
    tracks: Tracks,
    maps: MapSource,
    options: RefinementOptions,
    progress: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Nodes and their positions, part by part; each is kept in the database, those of a stopped run are not redone.

    What is left to do is divided anew, so that nothing depends on how the stopped run was divided.
    """
    fingerprint = _fingerprint(collection, options)
    with RefinementStore(database) as store:
        done = store.parts(fingerprint)
        yield from done.values()
        nodes = np.concatenate([np.zeros(0, np.int64), *(nodes for nodes, _ in done.values())])
        work = schedule(collection, tracks, nodes)
        adjustment = Adjustment(collection, tracks, maps, work.slots, database.parent)
        with tqdm(total=work.nodes, desc="refine", unit="keypoint", disable=not progress) as bar:
            for number, part in enumerate(work.parts, 1 + max(done, default=-1)):
                xy = adjustment.move(part, bar.update)
                store.save_part(fingerprint, number, part.nodes, xy)
                yield part.nodes, xy


def _fingerprint(collection: Collection, options: RefinementOptions) -> str:
    """Of all that decides the positions."""
    digest = hashlib.sha256(json.dumps([_of_alignment(asdict(options)), STAGES, LARGEST_MOVE_PX]).encode())
    for array in (collection.xy, collection.scale, collection.edges.a, collection.edges.b, collection.edges.weight):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
