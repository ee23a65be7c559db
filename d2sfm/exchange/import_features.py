"""Features and matches from files into a database with their photographs and cameras.

d2sfm import --database db.db --images photos --features features.h5 [--matches matches.h5]
"""

import json
import logging
import time
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.coordinates import resize_factor
from d2sfm.database import FeatureStore, MatchStore, exclusive, require_not_bridged
from d2sfm.exchange.import_keypoints import OtherKeypoints, descriptor_size, require_inside
from d2sfm.exchange.import_pairs import import_pairs
from d2sfm.extraction.folder import check_cameras, import_folder, open_database, remove_skipped
from d2sfm.extraction.pending import note_folder, pending_names
from d2sfm.features.fingerprints import clash, settings_of
from d2sfm.features.record import DESCRIPTOR_SIZE, Features
from d2sfm.formats.feature_folder import FeatureFolder
from d2sfm.formats.hloc_features import HlocFeatures
from d2sfm.formats.hloc_matches import HlocMatches
from d2sfm.options import CameraOptions, Convention, ImportOptions, PhotographOptions, VerificationOptions
from d2sfm.photographs.photograph import Photograph, read_headers
from d2sfm.photographs.reading import require_photographs
from d2sfm.progress import Bar
from d2sfm.refinement.adjustment import LARGEST_MOVE_PX
from d2sfm.skipped import Skipped
from d2sfm.text import counted, first_of

REFINED_MARGIN_PX = 4 * LARGEST_MOVE_PX  # how far two rounds of refinement at half the size may lead out
SAME_PX = 0.01  # of float32 in frames half a pixel apart
UNIT_TOLERANCE = 0.02  # of a descriptor's length; float16 takes 0.001

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ImportSummary:
    """What a run did.

    ``skipped`` holds the reason for each photograph, pair 'a - b', and file of matches, that could not be used.
    """

    imported: int = 0
    already_there: int = 0
    keypoints: int = 0
    pairs: int | None = None  # with matches from a file; None if none was given
    matches: int = 0
    verified: int | None = None  # None if verification was off
    with_descriptors: bool = True
    skipped: Skipped = field(default_factory=Skipped)
    seconds: float = 0.0

    def __str__(self) -> str:
        text = f"import: features of {counted(self.imported, 'photograph')}, {counted(self.keypoints, 'keypoint')}"
        text += "" if self.with_descriptors else " without descriptors"
        text += f", {self.already_there} there already" if self.already_there else ""
        text += f", {counted(self.matches, 'match')} of {counted(self.pairs, 'pair')}" if self.pairs is not None else ""
        text += f", {self.verified} verified" if self.verified is not None else ""
        return f"{text} in {self.seconds:.1f} s" + (f", {len(self.skipped)} skipped" if self.skipped else "")


def import_features(
    database: Path | str,
    images: Path | str,
    features: Path | str,
    *,
    matches: Path | str | None = None,
    options: ImportOptions | None = None,
    cameras: CameraOptions | None = None,
    limits: PhotographOptions | None = None,
    verification: VerificationOptions | None = None,
    progress: bool = False,
) -> ImportSummary:
    """Import the photographs below ``images`` that have features in files, with cameras as extraction makes them.

    features: HDF5 file in hloc's layout, or a folder of npz or mat files called as the photographs (which may be
    ``images`` itself). matches: HDF5 file in hloc's or deep-image-matching's layout, for pairs that the database has no
    matches of; verification: how all pairs without geometry are then verified, None for not. limits: what is read.

    Keypoints are brought to COLMAP's frame. A fingerprint tells their origin; if d2sfm wrote the files, it is that of
    the extraction. Photographs that already have features are left out. What can't be used is named in the summary.
    If descriptors of an HDF5 file are not D2-Net's, its keypoints are imported without them, which requires matches.

    Raises FileNotFoundError or ValueError for inputs that are missing, empty or damaged, RuntimeError if the database
    holds features of another kind, the file is not a COLMAP database, or it is in use.
    """
    started = time.perf_counter()
    database, images, features = Path(database), Path(images), Path(features)
    options, cameras, summary = options or ImportOptions(), cameras or CameraOptions(), ImportSummary()
    with (FeatureFolder if features.is_dir() else HlocFeatures)(features, options) as source, exclusive(database):
        names = _names(images, source)
        check_cameras(cameras, names)
        wanted = _wanted(source, names, matches, options, summary)
        open_database(database, cameras)
        require_not_bridged(database, "import")
        without = wanted.pending(database, names)
        if matches is not None:
            there = sorted(set(names).difference(without, summary.skipped))
            _require_same(wanted, database, read_headers(images, there, Skipped()), summary.skipped)
        note_folder(database, images)
        pending = [name for name in without if name not in summary.skipped]
        summary.already_there = len(names) - len(without)
        largest = (limits or PhotographOptions()).max_megapixels
        photographs = read_headers(images, pending, summary.skipped, max_megapixels=largest)
        photographs = import_folder(database, images, photographs, cameras, summary.skipped)
        try:
            counts = wanted.write(database, photographs, summary.skipped, progress)
            summary.imported, summary.keypoints = len(counts), sum(counts)
        finally:  # a stopped run, too, leaves nothing behind of what is broken
            remove_skipped(database, [name for name in without if name in summary.skipped])
        if matches is not None:
            pairs = import_pairs(database, Path(matches), verification, summary.skipped, progress)
            summary.pairs, summary.matches, summary.verified = pairs
    summary.seconds = time.perf_counter() - started
    return summary


class _D2Features(NamedTuple):
    """Features of D2-Net, with the interface of ``OtherKeypoints``."""

    source: FeatureFolder | HlocFeatures
    fingerprints: dict[str, str]  # by name
    options: ImportOptions

    def pending(self, database: Path, names: list[str]) -> list[str]:
        asked = sorted(set(self.fingerprints.values())) or [_foreign_settings(self.source.path, self.options)]
        *_, pending = (pending_names(database, names, fingerprint) for fingerprint in asked)
        return pending

    def positions(self, photograph: Photograph) -> np.ndarray:
        return self._read(photograph).keypoints[:, :2]

    def write(self, database: Path, photographs: list[Photograph], skipped: Skipped, progress: bool) -> list[int]:
        counts, source = [], self.source
        with FeatureStore(database) as store:
            for photograph in Bar(photographs, desc="import", unit="image", disable=not progress):
                with skipped.catching(photograph.name):
                    features = self._read(photograph)
                    _check(features, REFINED_MARGIN_PX if source.tells_convention(photograph.name) else 1.0)
                    descriptors = features.descriptors.astype(str(self.options.descriptor_dtype), copy=False)
                    features = replace(features, descriptors=descriptors)
                    store.write(photograph.name, features, self.fingerprints[photograph.name])
                    counts.append(len(features))
        return counts

    def _read(self, photograph: Photograph) -> Features:
        turn = {"orientation": photograph.orientation} if isinstance(self.source, HlocFeatures) else {}
        return self.source.read(photograph.name, photograph.size, **turn)


def _wanted(
    source: FeatureFolder | HlocFeatures,
    names: list[str],
    matches: Path | str | None,
    options: ImportOptions,
    summary: ImportSummary,
) -> _D2Features | OtherKeypoints:
    """What is to be imported of the source; what can't be read is skipped.

    Raises ValueError if its images differ, FileNotFoundError or ValueError if the file of matches can't be used.
    """
    if matches is not None:
        with HlocMatches(matches, names):  # what is wrong with the whole file shows before the work begins
            pass
    if isinstance(source, HlocFeatures):
        size = descriptor_size(source, names, summary.skipped)
        if size != DESCRIPTOR_SIZE:
            summary.with_descriptors = False
            return OtherKeypoints(source, size, matches, options)
    return _D2Features(source, _fingerprints(source, names, options, summary.skipped), options)


def _require_same(
    wanted: _D2Features | OtherKeypoints, database: Path, photographs: list[Photograph], skipped: Skipped
) -> None:
    """RuntimeError if photographs that have features already have others in the source: matches number those of the
    source. What can't be read there is skipped."""
    others = []
    with MatchStore(database) as store:
        ids, continued = store.image_ids(), store.continued()
        for photograph in photographs:
            with skipped.catching(photograph.name):
                image_id, found = ids[photograph.name], wanted.positions(photograph)
                there = store.keypoints(image_id)
                there = there[: len(there) - continued.get(image_id, 0)]
                # Files that export wrote hold refined ones.
                if not any(_are_same(found, known) for known in (there, store.original_keypoints(image_id))):
                    others.append(photograph.name)
    if others:
        raise RuntimeError(
            f"{database} holds other keypoints of {first_of(others, 'image')} than {wanted.source.path}: give the file "
            "that its features were imported from, or import into another database"
        )


def _are_same(found: np.ndarray, known: np.ndarray | None) -> bool:
    return known is not None and found.shape == known.shape and np.allclose(found, known, rtol=0, atol=SAME_PX)


def _names(images: Path, source: FeatureFolder | HlocFeatures) -> list[str]:
    """Sorted names of the photographs with features. ValueError if there are none."""
    photographs, named = require_photographs(images), set(source.names())
    if not named:
        raise ValueError(
            f"{source.path} holds no features of images (--matches is for a file of matches; in a folder, only names "
            "that end with --extension count)"
        )
    names = [name for name in photographs if name in named]
    if not names:
        raise ValueError(
            f"none of the {counted(len(photographs), 'photograph')} below {images} is among the "
            f"{counted(len(named), 'image')} of {source.path}: names must be relative to the folder of the "
            f"photographs, found {photographs[0]} below it and {min(named)} in the file"
        )
    if others := sorted(set(photographs) - named):
        logger.warning("no features in %s: %s", source.path, first_of(others, "photograph"))
    if others := sorted(named - set(photographs)):
        logger.warning("no photographs below %s for features in %s: %s", images, source.path, first_of(others, "image"))
    return names


def _fingerprints(
    source: FeatureFolder | HlocFeatures, names: list[str], options: ImportOptions, skipped: Skipped
) -> dict[str, str]:
    """The fingerprints by name. ValueError if features are not comparable; what can't be read is skipped."""
    found, foreign, of_name = {}, [], {}
    for name in names:
        with skipped.catching(name):
            fingerprint = source.fingerprint(name)
            if fingerprint is None and not source.tells_convention(name):
                foreign.append(name)
            if fingerprint is not None:
                settings_of(fingerprint)  # raises if it is not a fingerprint
            of_name[name] = fingerprint or _foreign_settings(source.path, options)
            found.setdefault(of_name[name], name)
    for one, other in combinations(found, 2):
        if clash(one, other):
            raise ValueError(f"{source.path} mixes features: {found[one]} with {one}, {found[other]} with {other}")
    if foreign and options.convention is None and isinstance(source, HlocFeatures):
        logger.warning(
            "%s does not say how keypoints of %s were made, so they are imported unchanged; for files of hloc's "
            "D2-Net, which are off by 2 px of its input, add --convention reference",
            source.path,
            counted(len(foreign), "image"),
        )
    return of_name


def _foreign_settings(path: Path, options: ImportOptions) -> str:
    is_moved = options.convention is Convention.REFERENCE
    settings = {
        "extractor": f"another, imported from {path.name}",
        "convention": "colmap, moved from reference" if is_moved else "colmap",
        "max_edge": options.max_edge,
        "max_sum_edges": options.max_sum_edges,
    }
    return json.dumps(settings)


def _check(features: Features, margin_px: float) -> None:
    """Raise ValueError for impossible features; margin_px: how far outside of the picture they may be, in pixels of the
    input."""
    if not np.isfinite(features.keypoints).all():
        raise ValueError("its keypoints or scores are not all finite")
    if not (features.keypoints[:, 2] > 0).all():
        raise ValueError("its keypoints have scales of 0 or below")
    margin = margin_px * max(1.0, resize_factor(features.input_size, features.image_size))
    require_inside(features.keypoints[:, :2], features.image_size, margin)
    lengths = np.sqrt(np.einsum("nd,nd->n", features.descriptors, features.descriptors, dtype=np.float64))
    if not (np.abs(lengths - 1) < UNIT_TOLERANCE).all():
        raise ValueError("its descriptors are not all unit vectors")
