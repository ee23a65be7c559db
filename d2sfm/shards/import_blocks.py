"""Blocks of features into COLMAP's database: first the photographs with their cameras, then keypoints."""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from d2sfm.database import FeatureStore, Note
from d2sfm.database.connection import Connection
from d2sfm.database.notes import Notes
from d2sfm.database.part_copy import ids_of_images, is_whole
from d2sfm.extraction.folder import import_folder, open_database
from d2sfm.files import replacing_file
from d2sfm.parts import scratch_folder, sync
from d2sfm.photographs.photograph import read_headers
from d2sfm.progress import Bar
from d2sfm.shards.feature_block import BlockFile, FeatureBlock, names_in_block
from d2sfm.shards.folder import ShardFolder, pieces
from d2sfm.skipped import Skipped
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


def names_in_blocks(folder: ShardFolder) -> list[str]:
    """Names of the photographs that have features. RuntimeError that says which blocks are missing, and what makes
    them."""
    photographs, names, missing = folder.photographs, [], []
    for number in range(photographs.blocks):
        file = folder.features(number)
        of_block = names_in_block(BlockFile(file, photographs.block(number), photographs.fingerprint))
        names += of_block or ()
        missing += [file.name] if of_block is None else []
    if missing:
        raise RuntimeError(
            f"{folder.path} lacks {first_of(missing, 'block')} of {photographs.blocks}, or they are damaged: run "
            f"d2sfm extract --shard I/N --output {folder.path} again, with the same options"
        )
    return names


def late_photographs(folder: ShardFolder, names: Sequence[str]) -> list[str]:
    """Those of the photographs with features that came after the folder's database was made, and are not in it."""
    with Connection(folder.database, is_constant=True) as connection:
        noted = Notes(connection).read(Note.NOT_IMPORTED)
    known = ids_of_images(folder.database, names).keys() | json.loads(noted or "{}").keys()
    return [name for name in names if name not in known]


def warn_of_late(folder: ShardFolder, late: Sequence[str]) -> None:
    """Warn of photographs, if any, that came after the pairs, which are matched."""
    if late:
        logger.warning(
            "%s has features of %s, which came after the pairs and stay out: to take them in, remove the blocks "
            "matches-*.db, and run d2sfm pairs and d2sfm match again",
            folder.path,
            first_of(late, "photograph"),
        )


def make_database(folder: ShardFolder) -> Skipped:
    """Make the database of the photographs without their features, unless it is there and whole.

    Where features of others came since, it is made again, and what was made after it goes; where pairs are matched
    already, these photographs stay out, with a warning. Returns what COLMAP can't import of what has features, by name,
    of a new one. Raises RuntimeError if blocks of features are missing.
    """
    names = names_in_blocks(folder)
    if is_whole(folder.database):
        late = late_photographs(folder, names)
        if folder.is_matched:
            warn_of_late(folder, late)
        if folder.is_matched or not late:
            return Skipped()
        for path in (folder.pair_record, folder.vocabulary, *pieces(folder.path, r"vlad-\d{4,}\.npy")):
            path.unlink(missing_ok=True)
    with scratch_folder() as scratch:
        skipped = import_photographs_of(folder, database := scratch / folder.database.name)
        with Connection(database) as connection:
            Notes(connection).write(Note.NOT_IMPORTED, json.dumps(skipped))
            Notes(connection).remove(Note.IMAGES_BESIDE)  # as it lies to the scratch folder
            connection.rows("PRAGMA journal_mode = DELETE")  # it is only read from now on
        with replacing_file(folder.database) as part:
            shutil.copyfile(database, part)
            sync(part)
    return skipped


def import_photographs_of(folder: ShardFolder, database: Path) -> Skipped:
    """Cameras, images, rigs and GPS positions of all blocks into a database, as ``d2sfm extract`` imports a folder.

    COLMAP reads blank copies, so the photographs themselves are not needed. Returns what has features, but can't be
    imported, by name.
    """
    photographs, skipped, names = folder.photographs, Skipped(), []
    open_database(database, photographs.cameras)
    with FeatureStore(database) as store:
        store.notes.note_images_folder(photographs.images)
    with scratch_folder() as scratch:
        for block in _blocks(folder):
            for name in block.names():
                names.append(name)
                copy = scratch / PurePosixPath(name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(block.blank_copy(name))
        found = read_headers(scratch, sorted(names), skipped)
        import_folder(database, scratch, found, photographs.cameras, skipped)
    return skipped


def write_features_of(folder: ShardFolder, database: Path, *, descriptors: bool = True, progress: bool = False) -> int:
    """Features of all blocks to the images that a database has of them; those that are there stay.

    descriptors: whether these are written, too. Returns the number of images of the database.
    """
    with FeatureStore(database) as store:
        images, there = store.images(), (store.extracted() if descriptors else store.written()).keys()
        with Bar(total=len(images), desc="assemble features", unit="image", disable=not progress) as bar:
            for block in _blocks(folder):
                for name in block.names():
                    if name in images and name not in there:
                        features = block.read(name, (images[name].width, images[name].height))
                        store.write(name, features, block.fingerprint(name), descriptors=descriptors)
                    bar.update(name in images)
    return len(images)


def _blocks(folder: ShardFolder) -> Iterator[FeatureBlock]:
    """Each open while it is looked at."""
    for number in range(folder.photographs.blocks):
        with FeatureBlock(folder.features(number)) as block:
            yield block
