"""One database of all blocks, written by one process.

d2sfm assemble shards --database db.db
"""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from d2sfm.database import FeatureStore, MatchStore, Note, exclusive
from d2sfm.database.file import put_in_place, unfinished
from d2sfm.database.part_copy import is_whole
from d2sfm.parts import SQLITE_SUFFIXES, require_replaceable
from d2sfm.progress import Bar
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.import_blocks import (
    import_photographs_of,
    late_photographs,
    names_in_blocks,
    warn_of_late,
    write_features_of,
)
from d2sfm.shards.matching import matched_blocks
from d2sfm.shards.pair_block import digest, digest_of_ids
from d2sfm.shards.records import read_record
from d2sfm.system import network_file_system
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AssemblySummary:
    """What was assembled."""

    database: Path
    images: int
    pairs: int
    verified: int  # pairs with a two-view geometry
    seconds: float

    def __str__(self) -> str:
        of_pairs = f", {counted(self.pairs, 'pair')} ({self.verified} of them verified)" if self.pairs else ", no pairs"
        return f"assemble: {counted(self.images, 'image')}{of_pairs} in {self.database} in {self.seconds:.1f} s"


def assemble(shards: Path, database: Path, *, descriptors: bool = False, progress: bool = False) -> AssemblySummary:
    """Write a new database of the photographs, features and pairs in a folder of shards, as one process makes it.

    descriptors: whether these are written, too, which ``match`` and ``refine`` read, and mapping does not. A folder
    without pairs gives a database without pairs. Blocks are read one after the other, and a stopped run goes on.

    Raises FileNotFoundError if there is no such folder, RuntimeError if blocks are missing or damaged, or the
    database is there already, and as ``require_replaceable``.
    """
    started, folder, database = time.perf_counter(), ShardFolder(shards), Path(database)
    require_replaceable(database)
    with exclusive(database):
        if database.exists() and database.stat().st_size:
            raise RuntimeError(f"{database} exists already: give the assembled database another name")
        names = _require_whole(folder)
        if (kind := network_file_system(database)) is not None:
            logger.warning(
                "%s is on a network folder (%s), where SQLite is slow and may lose what it writes: give --database on "
                "a local disk, and copy it afterwards",
                database,
                kind,
            )
        part = _begun(folder, database, descriptors, names)
        images = write_features_of(folder, part, descriptors=descriptors, progress=progress)
        pairs, verified = _add_pairs(folder, part, progress)
        with FeatureStore(part) as store:
            if not descriptors:
                store.notes.write(Note.WITHOUT_DESCRIPTORS, str(folder.path.resolve()))
            store.notes.remove(Note.ASSEMBLING)
        put_in_place(part, database)
    seconds = time.perf_counter() - started
    return AssemblySummary(database=database, images=images, pairs=pairs, verified=verified, seconds=seconds)


def _require_whole(folder: ShardFolder) -> list[str]:
    """Names of the photographs that have features. RuntimeError if blocks are missing."""
    names = names_in_blocks(folder)
    missing = [folder.matches(number).name for number, is_there in enumerate(matched_blocks(folder)) if not is_there]
    if missing:
        raise RuntimeError(
            f"{folder.path} lacks {first_of(missing, 'block')} of {folder.pair_blocks} with matches: run "
            f"d2sfm match --shard J/M {folder.path} again, with the same options"
        )
    if is_whole(folder.database) and folder.is_matched:
        warn_of_late(folder, late_photographs(folder, names))
    return names


def _begun(folder: ShardFolder, database: Path, descriptors: bool, names: Sequence[str]) -> Path:
    """The database in the making, with its photographs: that of a stopped run of the same blocks, or a new one."""
    part = database.with_name(f".{database.name}.unfinished")
    pairs = [read_record(folder.pair_record), read_record(folder.matching_record)] if folder.pair_blocks else []
    asked = [str(folder.path.resolve()), descriptors, folder.photographs.fingerprint, names, *pairs]
    told = digest(json.dumps(asked).encode())
    if part.exists():
        with FeatureStore(part) as store:
            if store.notes.read(Note.ASSEMBLING) == told:
                logger.info("continuing a stopped run")
                return part
    for suffix in SQLITE_SUFFIXES:
        Path(f"{part}{suffix}").unlink(missing_ok=True)
    with unfinished(part) as beginning:
        if is_whole(folder.database):
            shutil.copyfile(folder.database, beginning)  # its folder may be one of a network, without SQLite's locks
        else:
            import_photographs_of(folder, beginning)
        with FeatureStore(beginning) as store:
            store.notes.remove(Note.NOT_IMPORTED)
            store.notes.note_images_folder(folder.photographs.images)
            store.notes.write(Note.ASSEMBLING, told)
            ids = digest_of_ids({name: image.image_id for name, image in store.images().items()})
        if pairs and pairs[0].get("ids") != ids:
            raise RuntimeError(f"{folder.path} has pairs of other photographs: run d2sfm pairs {folder.path} again")
        put_in_place(beginning, part)
    return part


def _add_pairs(folder: ShardFolder, part: Path, progress: bool) -> tuple[int, int]:
    """Rows of all pairs, with a note of how they were made. Returns how many there are, and how many are verified."""
    if not folder.pair_blocks:
        return 0, 0
    with MatchStore(part) as store:
        for number in Bar(range(folder.pair_blocks), desc="assemble pairs", unit="block", disable=not progress):
            store.take_in(folder.matches(number))
        counts = store.pair_counts()
    with FeatureStore(part) as store:
        store.notes.note_match_settings(read_record(folder.matching_record))
    return len(counts), int((counts["inliers"] > 0).sum())
