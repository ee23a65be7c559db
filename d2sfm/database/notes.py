"""What runs of d2sfm note in the database for later ones."""

import json
from collections.abc import Mapping
from enum import StrEnum

from d2sfm.database.connection import Connection
from d2sfm.database.rows import json_object
from d2sfm.database.tables import FEATURES, ORIGINALS, OUTDATED, SETTINGS, create_our_tables, tables


class Note(StrEnum):
    """The keys of the notes."""

    IMAGES = "images"  # the folder of photographs
    MATCH = "match"  # the settings of d2sfm's own matching and verification, as JSON
    REFINEMENT = "refinement"  # the options of the refinement that made the keypoints, as JSON
    OVERWRITING = "overwriting"  # the fingerprint of a run of extract --overwrite that is not through
    MATCHING_ANEW = "matching_anew"  # the settings of a run of match --overwrite that is not through, as JSON
    COPY_OF = "copy_of"  # the path of the database that a working copy was made of


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
        """What was noted; None where nothing was."""
        return self.all().get(note)

    def write(self, note: Note, value: str) -> None:
        """Leave a note in place of the one of that key."""
        create_our_tables(self._connection)
        self._connection.rows(f"INSERT OR REPLACE INTO {SETTINGS} (key, value) VALUES (?, ?)", (note, value))

    def remove(self, note: Note) -> None:
        """Remove a note where it is there."""
        if SETTINGS in tables(self._connection):
            self._connection.rows(f"DELETE FROM {SETTINGS} WHERE key = ?", (note,))

    def match_settings(self) -> dict:
        """The settings of d2sfm's own matching and verification; empty where the pairs are not its own."""
        return self._settings(Note.MATCH)

    def note_match_settings(self, settings: Mapping[str, object]) -> None:
        """Keep them in place of those that were noted."""
        self.write(Note.MATCH, json.dumps(settings))

    def refinement(self) -> dict:
        """The options of the refinement that made the keypoints; empty where they are those of extraction.

        Features that are written again lose their originals, so the note alone says nothing; those that are to be
        written again have no say.
        """
        if not {ORIGINALS, FEATURES} <= tables(self._connection):
            return {}
        outdated = f"SELECT image_id FROM {FEATURES} WHERE fingerprint = '{OUTDATED}'"
        of_current = f"SELECT NULL FROM {ORIGINALS} WHERE image_id NOT IN ({outdated}) LIMIT 1"
        return self._settings(Note.REFINEMENT) if self._connection.rows(of_current) else {}

    def _settings(self, note: Note) -> dict:
        return json_object(self._connection.path, note, self.read(note) or "{}")
