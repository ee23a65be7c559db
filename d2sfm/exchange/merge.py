"""Two and more databases into one, with all that COLMAP and d2sfm keep in them.

pycolmap's own ``Database.merge`` leaves out the tables of d2sfm, and ends the process on some inputs.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path

from d2sfm.database import BridgeStore, FeatureStore, Note, RefinementStore, exclusive, require_database
from d2sfm.database.connection import Connection
from d2sfm.database.file import copy_whole, put_in_place, unfinished
from d2sfm.database.foreign_store import ForeignStore
from d2sfm.database.migration import bring_up_to_date, complete_frames
from d2sfm.database.notes import Notes
from d2sfm.exchange.merge_bridges import require_alike
from d2sfm.exchange.merged_rows import append_rows
from d2sfm.exchange.shared_images import require_same
from d2sfm.features.fingerprints import clash, difference
from d2sfm.matching.settings import note_matching_alike, note_refinement_alike
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)

# What says nothing of a merged database.
OF_ONE_FILE = {
    *(Note.CAMERAS, Note.COPY_OF, Note.COPIED_MATCHES, Note.IMAGES_BESIDE),
    *(Note.OVERWRITING, Note.MATCHING_ANEW, Note.REFINING_ANEW),
}


def merge_databases(sources: Sequence[Path], output: Path, images: Path | None = None) -> int:
    """Write all that some databases hold into a new one, and return how many images these are.

    Ids count on from one database to the next. Images of the same name are one, with the camera and features of the
    first database that has it, and the pairs of all; of a pair that is in several, the rows of the first count, with a
    warning where they differ. Other cameras stay apart, also where they are equal; what is noted of unfinished
    refinement and of pairs to be matched again is left out, the latter with a warning. images: the folder of all
    photographs (default: the one that the databases have noted).

    The sources stay as they are. Raises FileNotFoundError if one, or the output's folder, is missing; RuntimeError
    where the output exists, a source is no database or in use, or they contradict each other: an image of the same
    name with another camera or other features, features of other settings, keypoints refined otherwise, another folder
    of photographs; where an image of several databases is in one that d2sfm has bridged.
    """
    sources, output = [Path(source) for source in sources], Path(output)
    if output.exists():
        raise RuntimeError(f"{output} exists already: give the merged database another name")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"no folder {output.parent} for the database {output.name}")
    if len({source.resolve() for source in sources}) < max(2, len(sources)):
        raise ValueError("expected two or more databases, each once")
    for source in sources:
        require_database(source)
    with ExitStack() as stack:
        for path in (*sources, output):
            stack.enter_context(exclusive(path))
        for source in sources:
            warn_of_unfinished(source, None)
        contents = _contents(sources)
        require_alike(sources)
        notes = _common_notes(contents, images)
        part = stack.enter_context(unfinished(output))
        _copy(sources[0], part, output)
        for number, source in enumerate(sources[1:], 1):
            with unfinished(output) as of_schema:
                different = append_rows(part, _of_same_schema(source, part, of_schema, output), source)
            if different:
                earlier = " or ".join(map(str, sources[:number]))
                told = "%s with different rows in %s and in %s: those of %s were taken"
                logger.warning(told, counted(different, "pair"), source, earlier, earlier)
        complete_frames(part)
        _replace_notes(part, notes)
        put_in_place(part, output)
    return len(set().union(*(content.names for content in contents)))


class _Content:
    """What is compared of a database before it is merged."""

    def __init__(self, path: Path):
        self.path = path
        with FeatureStore(path) as store:
            self.names = set(store.images())
            has_descriptors = store.notes.read(Note.WITHOUT_DESCRIPTORS) is None
            found = store.extracted() if has_descriptors else store.written()
            self.fingerprints = sorted(set(found.values()))
            self.notes = {key: value for key, value in store.notes.all().items() if key not in OF_ONE_FILE}
            if (folder := store.notes.images_folder()) is not None:
                self.notes[Note.IMAGES] = str(folder)
        with ForeignStore(path) as store:
            self.foreign = store.extractor()
        with BridgeStore(path) as store:
            if Note.IMAGES not in self.notes and (folder := store.noted(Note.IMAGES)) is not None:
                self.notes[Note.IMAGES] = folder
            self.is_bridged = store.is_bridged()
        with RefinementStore(path) as store:
            if not store.refined():  # features that are extracted again lose the originals, the note stays
                self.notes.pop(Note.REFINEMENT, None)


def _contents(sources: Sequence[Path]) -> list[_Content]:
    """What the sources hold. RuntimeError if images or features of them contradict each other."""
    contents = [_Content(path) for path in sources]
    notes = {content.path: content.notes for content in contents}
    note_refinement_alike(notes)
    note_matching_alike(notes)
    featured = [content for content in contents if content.fingerprints or content.foreign]
    for first, content in combinations(featured, 2):
        if content.foreign != first.foreign:
            held = [f"{each.path} holds keypoints of {each.foreign or 'd2sfm'}" for each in (first, content)]
            raise RuntimeError(f"{held[0]}, {held[1]}: features of different extractors are not mixed")
        for fingerprint in content.fingerprints:
            if other := next((other for other in first.fingerprints if clash(other, fingerprint)), None):
                raise RuntimeError(
                    f"{first.path} holds features with {difference(other, fingerprint)}, {content.path} with "
                    f"{difference(fingerprint, other)}: features of different settings are not mixed"
                )
        if content.notes.get(Note.REFINEMENT) != first.notes.get(Note.REFINEMENT):
            raise RuntimeError(
                f"keypoints of {first.path} and of {content.path} are not refined alike: run d2sfm refine --restore on "
                "both, and refine what they are merged into"
            )
    _require_same_images(contents)
    return contents


def _require_same_images(contents: Sequence[_Content]) -> None:
    """Raise RuntimeError if images that several databases have are not the same, or can't be made one."""
    for number, content in enumerate(contents):
        left = set(content.names)  # an image is compared with the first database that has it
        for first in contents[:number]:
            if not (both := left & first.names):
                continue
            if bridged := next((each.path for each in (first, content) if each.is_bridged), None):
                raise RuntimeError(
                    f"{first_of(sorted(both), 'image')} in {first.path} and in {content.path}, and {bridged} is "
                    "bridged: run d2sfm bridge --restore on it, and d2sfm bridge on what they are merged into"
                )
            require_same(first.path, content.path)
            left -= both


def _common_notes(contents: Sequence[_Content], images: Path | None) -> dict[str, str]:
    """Notes of the whole. RuntimeError if those of two sources contradict each other."""
    common: dict[str, tuple[str, Path]] = {}
    left_out = set()
    if images is not None:
        images = Path(images)
        names = set().union(*(content.names for content in contents))
        missing = sorted(name for name in names if not (images / name).is_file())
        if missing:
            raise RuntimeError(f"{images} lacks {first_of(missing, 'photograph')} of the databases")
        common[Note.IMAGES] = (str(images.resolve()), images)
    for content in contents:
        for key, value in content.notes.items():
            noted, path = common.setdefault(key, (value, content.path))
            if noted == value or (key == Note.IMAGES and images is not None) or key == Note.WITHOUT_DESCRIPTORS:
                continue  # of the last, the first folder is as good as any
            if key == Note.MATCH:
                logger.warning("pairs of %s were made with %s, those of %s with %s", path, noted, content.path, value)
            elif key == Note.POSES:
                logger.warning(
                    "%s and %s were verified by different known poses, which are left out", path, content.path
                )
                left_out.add(key)  # each may have a frame of its own
            elif key == Note.IMAGES:
                raise RuntimeError(
                    f"{path} has its photographs in {noted}, {content.path} in {value}: give --images, a folder where "
                    "all of them are"
                )
            else:
                raise RuntimeError(f"{path} has the setting {key} {noted}, {content.path} has {value}")
    return {key: value for key, (value, _) in common.items() if key not in left_out}


def _replace_notes(merged: Path, notes: Mapping[str, str]) -> None:
    with Connection(merged) as connection, connection.transaction():
        there = Notes(connection)
        for key in there.all():
            there.remove(key)
        for key, value in notes.items():
            if key == Note.IMAGES:
                there.note_images_folder(Path(value))
            else:
                there.write(key, value)


def _of_same_schema(source: Path, merged: Path, part: Path, output: Path) -> Path:
    """The source where its tables are those of pycolmap's version, else a copy that was brought to them."""
    versions = set()
    for path in (source, merged):
        with Connection(path) as connection:
            versions |= set(connection.rows("PRAGMA user_version"))
    if len(versions) == 1:
        return source
    _copy(source, part, output)
    return part


def _copy(source: Path, part: Path, output: Path) -> None:
    """A whole copy of a database that this run has locked, with the tables of pycolmap's version."""
    copy_whole(source, part, output)
    bring_up_to_date(part)
    with Connection(part) as connection:  # with a log, a full disk would show only after the last transaction
        if (mode := connection.rows("PRAGMA journal_mode = DELETE")) != [("delete",)]:
            raise RuntimeError(f"{part} can't be written without a log: its journal mode stays {mode[0][0]}")
