"""What runs of d2sfm note in the database for later ones."""

import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from d2sfm.database.connection import Connection, require_utf8
from d2sfm.database.rows import json_object
from d2sfm.database.tables import FEATURES, ORIGINALS, OUTDATED, SETTINGS, create_our_tables, tables

NAMES_LOOKED_FOR = 10  # by which a folder is known; a few photographs may have been taken away


class Note(StrEnum):
    """The keys of the notes."""

    IMAGES = "images"  # the folder of photographs, absolute
    IMAGES_BESIDE = "images_beside"  # the same as it lies to the database's folder: a project may be copied or moved
    CAMERAS = "cameras"  # the options by which the first photographs got theirs, as text
    MATCH = "match"  # the settings of d2sfm's own matching and verification, as JSON
    POSES = "poses"  # known ones, by which pairs are verified, as JSON: see matching.known_poses
    REFINEMENT = "refinement"  # the options of the refinement that made the keypoints, as JSON
    # Of a run of extract --overwrite that is not through: its fingerprint, and patterns if it has any.
    OVERWRITING = "overwriting"
    MATCHING_ANEW = "matching_anew"  # the settings of a run of match --overwrite that is not through, as JSON
    REFINING_ANEW = "refining_anew"  # the options of a run of refine --overwrite that is not through, as JSON
    FOREIGN = "foreign"  # what imported keypoints without descriptors of D2-Net are, in words
    BRIDGE = "bridge"  # in the layer of a bridged database: what tells the run that was through from others
    ASSEMBLING = "assembling"  # in a database that is in the making: of which folder of shards
    WITHOUT_DESCRIPTORS = "without_descriptors"  # the folder of shards whose features have some
    NOT_IMPORTED = "not_imported"  # of a folder of shards, what has features: reasons by name, as JSON
    COPY_OF = "copy_of"  # the path of the database that a working copy was made of
    COPIED_MATCHES = "copied_matches"  # a digest of the matches which that one had then


class Notes:
    """The notes of a database, by an open connection. Reading changes no file."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def all(self) -> dict[str, str]:
        """All notes by their keys."""
        if SETTINGS not in tables(self._connection):
            return {}
        return dict(self._connection.rows(f"SELECT key, value FROM {SETTINGS}"))

    def read(self, note: Note) -> str | None:
        """What was noted; None if nothing was."""
        if SETTINGS not in tables(self._connection):
            return None
        rows = self._connection.rows(f"SELECT value FROM {SETTINGS} WHERE key = ?", (note,))
        return rows[0][0] if rows else None

    def write(self, note: Note, value: str) -> None:
        """Write a note; it replaces that of the same key. ValueError for a path that is not UTF-8."""
        require_utf8(value)
        create_our_tables(self._connection)
        # In its place: the rows of two databases of the same work have the same order, also where one was interrupted.
        update = "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self._connection.rows(f"INSERT INTO {SETTINGS} (key, value) VALUES (?, ?) {update}", (note, value))

    def remove(self, note: Note) -> None:
        """Remove a note if it exists."""
        if SETTINGS in tables(self._connection):
            self._connection.rows(f"DELETE FROM {SETTINGS} WHERE key = ?", (note,))

    def images_folder(self) -> Path | None:
        """The folder of the photographs that was noted; None if none was.

        Relative to the database if its photographs are there, else the earlier place: in a copied project the copy
        counts; if only the database was moved, the earlier place.
        """
        notes = self.all()
        if (beside := notes.get(Note.IMAGES_BESIDE)) is not None:
            folder = Path(os.path.normpath(self._connection.path.resolve().parent / beside))
            names = self._connection.rows("SELECT name FROM images LIMIT ?", (NAMES_LOOKED_FOR,))
            if any((folder / str(name)).exists() for (name,) in names):
                return folder
        return Path(notes[Note.IMAGES]) if Note.IMAGES in notes else None

    def find_images_folder(self, given: Path | str | None) -> Path:
        """The given folder of the photographs, or else the noted one. FileNotFoundError if there is neither."""
        folder = Path(given) if given is not None else self.images_folder()
        if folder is None or not folder.is_dir():
            raise FileNotFoundError(f"no folder of photographs{f' {folder}' if folder else ''}: give --images")
        return folder

    def note_images_folder(self, folder: Path) -> None:
        """Keep the folder of the photographs. Raises as ``write``."""
        folder = folder.resolve()
        self.write(Note.IMAGES, str(folder))
        try:
            self.write(Note.IMAGES_BESIDE, os.path.relpath(folder, self._connection.path.resolve().parent))
        except ValueError:  # on another drive of Windows
            self.remove(Note.IMAGES_BESIDE)

    def match_settings(self) -> dict:
        """The settings of d2sfm's own matching and verification; empty for pairs of others."""
        return self._settings(Note.MATCH)

    def note_match_settings(self, settings: Mapping[str, object]) -> None:
        """Note them; they replace earlier ones."""
        self.write(Note.MATCH, json.dumps(settings))

    def refinement(self) -> dict:
        """The options of the refinement that made the keypoints; empty for keypoints of extraction.

        Features that are written again lose their originals, so the note alone proves nothing; features still to be
        written again do not count.
        """
        if not {ORIGINALS, FEATURES} <= tables(self._connection):
            return {}
        outdated = f"SELECT image_id FROM {FEATURES} WHERE fingerprint = '{OUTDATED}'"
        of_current = f"SELECT NULL FROM {ORIGINALS} WHERE image_id NOT IN ({outdated}) LIMIT 1"
        return self._settings(Note.REFINEMENT) if self._connection.rows(of_current) else {}

    def note_refinement(self, options: Mapping[str, object]) -> None:
        """Note them; they replace earlier ones."""
        self.write(Note.REFINEMENT, json.dumps(options))

    def _settings(self, note: Note) -> dict:
        return json_object(self._connection.path, note, self.read(note) or "{}")
