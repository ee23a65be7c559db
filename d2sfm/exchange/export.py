"""Features and matches of a database into files for other tools.

d2sfm export --database db.db --format hloc --output exported
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from d2sfm.database import FeatureStore, ForeignStore, MatchStore, exclusive, own_features, require_database
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import TORN, UnusableRow
from d2sfm.features.record import Features
from d2sfm.formats.hdf5 import FILE_BYTES, created
from d2sfm.formats.hloc_features import hloc_features_size, write_hloc_features
from d2sfm.formats.hloc_matches import hloc_matches_size, require_distinct, write_hloc_matches
from d2sfm.formats.npz_mat import write_features
from d2sfm.lru import DESCRIPTOR_CACHE_BYTES, LruCache
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.options import DescriptorDtype, ExportedMatches, ExportFormat, ExportOptions, OutputType
from d2sfm.pairs.arrays import in_tiles
from d2sfm.pairs.pair_files import require_writable, write_pairs
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.text import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What a run wrote into the folder ``output``."""

    images: int
    keypoints: int
    pairs: int | None = None  # None if matches were not asked for
    matches: int = 0
    output: Path
    skipped: Skipped = field(default_factory=Skipped)  # images, and pairs 'a - b', whose rows can't be used

    def __str__(self) -> str:
        text = f"export: {counted(self.images, 'image')}, {counted(self.keypoints, 'keypoint')}"
        text += f", {counted(self.pairs, 'pair')}, {counted(self.matches, 'match')}" if self.pairs is not None else ""
        return f"{text} in {self.output}"


def export_database(
    database: Path | str, output: Path | str, *, options: ExportOptions | None = None, progress: bool = False
) -> ExportSummary:
    """Write the features of a database, and for hloc its matches, into the folder ``output``.

    For hloc these are features.h5, matches.h5 and pairs.txt, in place of those that are there; else a file for each
    image, called by its name. Refined keypoints are written where they were moved to. Matching scores are hloc's for
    nearest neighbours. Of a bridged database D2's features and matches are written, with indices of their own.

    Raises FileNotFoundError if the database is missing, RuntimeError if the file is not a COLMAP database, is in use,
    holds no d2sfm features, ValueError if a name or a match does not fit into the layout, or ``output`` is no folder.
    """
    database, output, options = Path(database), Path(output), options or ExportOptions()
    require_database(database)
    with exclusive(database), own_features(database) as source:
        names = _names(source)
        with_matches = options.format is ExportFormat.HLOC and options.matches is not ExportedMatches.NONE
        if with_matches:
            require_distinct(names)
            require_writable(names)
            warn_of_unfinished(source, "the files" if options.matches is ExportedMatches.VERIFIED else None)
        try:
            output.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"{output} can't be made: a file is in the way") from None
        skipped = Skipped()
        # New features get their name with new matches: earlier ones count the keypoints of earlier features.
        with _features_file(source, output, names) if options.format is ExportFormat.HLOC else nullcontext() as file:
            keypoints = _write_features(source, file, output, names, options, skipped, progress)
            names = [name for name in names if name not in skipped]
            found = {"images": len(names), "keypoints": keypoints, "output": output, "skipped": skipped}
            if not with_matches:
                _warn_of_others(output)
                return ExportSummary(**found)
            pairs, matches = _write_matches(source, output, set(names), options.matches, skipped, progress)
        return ExportSummary(**found, pairs=pairs, matches=matches)


def _warn_of_others(output: Path) -> None:
    """Matches of an earlier run count keypoints that may be others now."""
    if there := [name for name in ("matches.h5", "pairs.txt") if (output / name).exists()]:
        logger.warning(
            "%s in %s: of an earlier run, delete it if it does not belong to these features",
            " and ".join(there),
            output,
        )


def _names(database: Path) -> list[str]:
    with FeatureStore(database) as store:
        store.require_descriptors()
        names = list(store.extracted())
    with ForeignStore(database) as store:
        foreign = store.described()
    if not names:
        if foreign is None:
            raise RuntimeError(
                f"{database} holds no d2sfm features: run d2sfm extract --database {database} --images FOLDER first"
            )
        raise RuntimeError(
            f"{database} holds no d2sfm features, only {foreign}: d2sfm bridge {database} --images FOLDER --all adds "
            "some, which d2sfm export then writes"
        )
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{database} has an image {name}, which is not a valid path below {database.parent}")
    return names


def _features_file(database: Path, output: Path, names: list[str]) -> AbstractContextManager[h5py.File]:
    """hloc's file for the features of these images."""
    stored = _stored(database)
    with FeatureStore(database) as store:
        fingerprints = store.extracted()
    size = FILE_BYTES + sum(hloc_features_size(name, fingerprints[name], *stored[name]) for name in names)
    return created(output / "features.h5", size)


def _write_features(
    database: Path,
    file: h5py.File | None,
    output: Path,
    names: list[str],
    options: ExportOptions,
    skipped: Skipped,
    progress: bool,
) -> int:
    """Into hloc's file, or without one into a file for each image. Returns the number of keypoints."""
    total = 0
    with FeatureStore(database) as store:
        fingerprints = store.extracted()
        skipped.update(dict.fromkeys(store.torn(), TORN))
        for name in Bar(names, desc="export", unit="image", disable=not progress):
            try:
                features = store.read(name)
            except UnusableRow as error:
                skipped[name] = error.reason
                continue
            total += len(features)
            if file is not None:
                write_hloc_features(file, name, features, fingerprints[name])
                continue
            path, output_type = output / f"{name}{options.extension}", OutputType(options.format)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_features(path, features, output_type, _dtype(features, output_type), fingerprints[name])
    return total


def _stored(database: Path) -> dict[str, tuple[int, int]]:
    """How many keypoints each image has, by name, and how many bytes their descriptors."""
    with Connection(database) as connection:
        rows = connection.rows(
            "SELECT name, keypoints.rows, length(descriptors.data) FROM images "
            "JOIN keypoints USING (image_id) JOIN descriptors USING (image_id)"
        )
    return {name: (count, size) for name, count, size in rows}


def _dtype(features: Features, output_type: OutputType) -> DescriptorDtype:
    """That of the database, as far as the format has it."""
    is_half = features.descriptors.dtype == np.float16 and output_type is not OutputType.MAT
    return DescriptorDtype.FLOAT16 if is_half else DescriptorDtype.FLOAT32


def _write_matches(
    database: Path, output: Path, names: set[str], kind: ExportedMatches, skipped: Skipped, progress: bool
) -> tuple[int, int]:
    """Returns the numbers of pairs and matches."""
    only_verified, total, written, stored = kind is ExportedMatches.VERIFIED, 0, [], _stored(database)
    with MatchStore(database) as store:
        name_of = store.image_names()
        pairs = image_pairs(store.done_pairs(only_verified))
    pairs = pairs[np.isin(pairs, [i for i, name in name_of.items() if name in names]).all(axis=1)]
    sizes = (hloc_matches_size((name_of[a], name_of[b]), stored[name_of[a]][0]) for a, b in pairs.tolist())
    with MatchStore(database) as store, created(output / "matches.h5", FILE_BYTES + sum(sizes)) as file:
        tiles = in_tiles(pairs)
        descriptors = LruCache(store.descriptors, DESCRIPTOR_CACHE_BYTES)
        for a, b in Bar(tiles.tolist(), desc="export", unit="pair", disable=not progress):
            try:
                matches = store.inlier_matches(a, b) if only_verified else store.matches(a, b)
            except UnusableRow as error:
                skipped[error.name] = error.reason
                continue
            if only_verified and not len(matches):
                continue
            of_a, of_b = descriptors[a], descriptors[b]
            matches = matches[(matches < (len(of_a), len(of_b))).all(axis=1)]  # without continued tracks
            pair = (name_of[a], name_of[b])
            cosine = np.einsum("md,md->m", of_a[matches[:, 0]], of_b[matches[:, 1]], dtype=np.float32)
            try:
                write_hloc_matches(file, pair, matches, len(of_a), (1 + cosine) / 2)
            except ValueError as error:
                skipped[" - ".join(pair)] = str(error)
                continue
            written.append((a, b))
            total += len(matches)
    pairs = np.array(sorted(written), np.uint32).reshape(-1, 2)
    write_pairs(output / "pairs.txt", pairs, name_of)
    return len(pairs), total
