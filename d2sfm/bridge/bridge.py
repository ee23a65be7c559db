"""D2 features for photographs that another extractor has left apart, in its database.

d2sfm bridge --database db.db --images photos
"""

import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from d2sfm.bridge.added import added_pairs
from d2sfm.bridge.apart import largest_group, outside_of, verified_pairs
from d2sfm.bridge.pairs import Images, choose_pairs, named_pairs
from d2sfm.bridge.work import begin_layer, fingerprints, is_through, layer_file, remove_work
from d2sfm.database import BridgeStore, FeatureStore, MatchStore, exclusive, require_database
from d2sfm.database.bridge_writer import BridgedPair, remove_bridge, write_bridge
from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.notes import Note
from d2sfm.extraction.extract import extract_images, require_usable
from d2sfm.matching.in_common import has_usable
from d2sfm.matching.match import match_pairs
from d2sfm.matching.settings import note_settings
from d2sfm.options import (
    BridgeOptions,
    Convention,
    ExtractionOptions,
    MapCacheOptions,
    MatchingOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.pairs.arrays import union
from d2sfm.pairs.pair_files import require_pairs_file
from d2sfm.photographs.photograph import missing_photographs
from d2sfm.refinement.refine import noted_options, refine_database
from d2sfm.skipped import Skipped
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BridgeSummary:
    """The photographs that a run found apart, and what it added: nothing if none is apart, or all was there before."""

    images: int
    apart: int
    connected: int  # of these, with the others now
    bridged: int = 0  # images with D2 keypoints
    pairs: int = 0  # with D2 matches
    new_pairs: int = 0  # of these, without a geometry before
    matches: int = 0  # of D2 that agree with the geometries of these pairs
    skipped: Skipped = field(default_factory=Skipped)  # photographs that can't be used
    seconds: float

    def __str__(self) -> str:
        apart = f"bridge: {self.apart} of {counted(self.images, 'image')} apart, {self.connected} of them connected now"
        if not self.pairs:
            return f"{apart}, nothing was added"
        added = f"{counted(self.matches, 'match')} in {counted(self.pairs, 'pair')} ({self.new_pairs} of them new) of "
        added += counted(self.bridged, "image")
        return f"{apart}: {added}, {self.seconds:.1f} s"


def bridge_database(
    database: Path | str,
    images: Path | str | None = None,
    *,
    options: BridgeOptions | None = None,
    features: ExtractionOptions | None = None,
    cache: MapCacheOptions | None = None,
    progress: bool = False,
) -> BridgeSummary:
    """Add D2 keypoints and matches behind those of another extractor, for images that its verified pairs leave apart.

    images: the folder of the photographs (default: the one that was noted). Existing keypoints, matches and geometries
    stay valid; ``unbridge_database`` removes what was added. All enters the database in one transaction. A stopped run
    continues, and a later run adds to an earlier one.

    Raises FileNotFoundError if the database, the folder or a file is missing, RuntimeError if the file is not a COLMAP
    database or is in use, holds d2sfm features, or D2 features of other settings, ValueError for photographs that can
    no longer be read, and for features in the published code's frame.
    """
    started, database = time.perf_counter(), Path(database)
    options, features = options or BridgeOptions(), features or ExtractionOptions()
    if features.convention is not Convention.COLMAP:
        raise ValueError(
            f"convention {features.convention} shifts keypoints by two pixels of the network's input: expected colmap"
        )
    require_database(database)
    if options.pairs:
        require_pairs_file(options.pairs)
    with exclusive(database):
        _require_foreign(database)
        with BridgeStore(database) as store:
            folder, noted = store.find_images_folder(images), store.noted(Note.BRIDGE)
        chosen = _images(database, folder, options)
        request, skipped, added = _request(chosen, options, features), Skipped(), []
        if noted != request and (len(chosen.apart) or options.all_ or options.pairs):
            work = _Work(database, folder, features, cache or MapCacheOptions(), skipped, progress)
            added = work.add(chosen, options, request)
            remove_work(database)
        elif is_through(database, noted):
            remove_work(database)
        else:
            layer = layer_file(database)
            logger.warning("%s holds the work of a stopped run with other options, and stays: they continue it", layer)
        with BridgeStore(database) as store:
            joined = union(chosen.verified, store.pairs())
    together = largest_group(joined)
    return BridgeSummary(
        images=len(chosen.names),
        apart=len(chosen.apart),
        connected=len(np.intersect1d(chosen.apart, together)),
        bridged=len({image_id for pair in added for image_id in pair.images}),
        pairs=len(added),
        new_pairs=sum(pair.geometry is not None for pair in added),
        matches=sum(len(pair.matches) for pair in added),
        skipped=skipped,
        seconds=time.perf_counter() - started,
    )


def unbridge_database(database: Path | str) -> int:
    """Remove what ``bridge_database`` has added, and return the number of images: all rows are as they were.

    Parts of a stopped run go, too. Raises as ``bridge_database``.
    """
    database = Path(database)
    require_database(database)
    with exclusive(database):
        with Connection(database) as connection, connection.transaction():
            restored = remove_bridge(connection)
        remove_work(database)
    return restored


def _require_foreign(database: Path) -> None:
    with FeatureStore(database) as store:
        store.require_descriptors()
        if store.extracted():
            raise RuntimeError(
                f"{database} already holds features of d2sfm: continue with d2sfm match and d2sfm reconstruct (d2sfm "
                "bridge is for databases of other extractors)"
            )
        if not store.images():
            raise RuntimeError(f"{database} holds no images: run d2sfm extract to start from photographs")


def _images(database: Path, folder: Path, options: BridgeOptions) -> Images:
    verified = verified_pairs(database)
    with MatchStore(database) as store:
        names = store.image_names()
        unusable = {image_id for image_id in names if store.has_keypoints(image_id) and not has_usable(store, image_id)}
    if missing := missing_photographs(folder, list(names.values())):
        logger.warning("not in %s, and left as they are: %s", folder, first_of(missing, "photograph"))
    apart = outside_of(np.array(list(names), np.uint32), verified, names, options.model)
    left_out = {*missing, *(names[image_id] for image_id in unusable)}
    ids = np.array([image_id for image_id, name in names.items() if name not in left_out], np.uint32)
    return Images(ids=ids, names=names, apart=np.intersect1d(apart, ids), verified=verified)


def _request(images: Images, options: BridgeOptions, features: ExtractionOptions) -> str:
    """What identifies a run: if one with the same request has finished, everything is already added."""
    given = options.pairs.read_text(encoding="utf-8", errors="replace") if options.pairs else ""
    settings = {name: str(value) for name, value in asdict(features).items()}
    parts = [images.names, images.ids.tolist(), images.apart.tolist(), images.verified.tolist()]
    told = json.dumps([*parts, given, options.all_, options.num_neighbours, settings], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True)
class _Work:
    """A database, and how it is bridged. skipped: gets photographs that can't be used."""

    database: Path
    folder: Path
    features: ExtractionOptions
    cache: MapCacheOptions
    skipped: Skipped
    progress: bool

    def add(self, images: Images, options: BridgeOptions, request: str) -> list[BridgedPair]:
        """Make the layer, write it into the database and return what it adds to pairs."""
        self._require_usable(images, options)
        layer, verification = begin_layer(self.database), VerificationOptions()
        pairs = choose_pairs(self.database, layer, images, options, self.features, self._extract)
        matching = MatchingOptions(device=self.features.device)
        with FeatureStore(layer) as store:
            store.notes.note_images_folder(self.folder)
            note_settings(store, asdict(verification))
        match_pairs(layer, pairs, matching, verification, progress=self.progress)
        with MatchStore(layer) as store:
            has_verified = bool((store.pair_counts()["inliers"] > 0).any())
            noted = store.notes.refinement()
        if has_verified:
            refinement = RefinementOptions.of_features(self.features)
            if noted:  # by a run before: features of another precision were refused, and there are no other options
                refinement = noted_options(noted, refinement)
            refine_database(layer, self.folder, options=refinement, cache=self.cache, progress=self.progress)
        if not self.skipped:  # else the next run looks at them again
            with FeatureStore(layer) as store:
                store.notes.write(Note.BRIDGE, request)
        with BridgeStore(self.database) as store:
            counts = store.own_counts()
        added = list(added_pairs(self.database, layer, counts, verification))
        with sole_use(layer), Connection(self.database) as connection:
            connection.attach(layer, "layer")
            with connection.transaction():
                remove_bridge(connection)
                write_bridge(connection, "layer", counts, added)
        return added

    def _require_usable(self, images: Images, options: BridgeOptions) -> None:
        """Raise for what would be refused later, as a file lies beside the database then."""
        if options.pairs:
            named_pairs(images, options.pairs)
        require_usable(self.database, fingerprints(self.database), self.features, self._way_out)

    @property
    def _way_out(self) -> str:
        return f", or another database, or take these out by d2sfm bridge {self.database} --restore"

    def _extract(self, layer: Path, images: Images, image_ids: np.ndarray, features: ExtractionOptions) -> np.ndarray:
        """Extract the features that a layer lacks of these images; returns the images that have some."""
        names = [images.names[image_id] for image_id in image_ids.tolist()]
        cache = self.cache if features == self.features else MapCacheOptions()  # refinement asks for no others
        given = {"options": features, "cache": cache, "progress": self.progress}
        told = {"holder": self.database, "way_out": self._way_out}
        self.skipped.update(extract_images(layer, self.folder, names, **given, **told))
        with FeatureStore(layer) as store:
            there = store.extracted()
        return image_ids[[name in there for name in names]]
