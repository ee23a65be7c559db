"""What goes with the features of an image: everything made of them, and notes about what no longer exists."""

from d2sfm.database.bridge_tables import BRIDGE_IMAGE_TABLES, BRIDGE_PAIR_TABLES
from d2sfm.database.connection import Connection
from d2sfm.database.notes import Note, Notes
from d2sfm.database.pair_ids import MAX_IMAGES
from d2sfm.database.tables import (
    FEATURES,
    ORIGINALS,
    OUR_PAIR_TABLES,
    PAIR_TABLES,
    PARTS,
    SETTINGS,
    SIGMAS,
    has_rows,
    tables,
)

_OF_IMAGE = ("keypoints", "descriptors", FEATURES, ORIGINALS, SIGMAS, *BRIDGE_IMAGE_TABLES)


def remove_features(connection: Connection, image_id: int) -> None:
    """Remove the features of an image, its pairs' matches and geometries, and the parts of an unfinished refinement.

    In a transaction of the caller, who writes other features or none.
    """
    remove_pairs(connection, image_id)
    there = tables(connection)
    if {PARTS, FEATURES} <= there:  # parts count keypoints of all images that had features
        had_features = f"EXISTS (SELECT NULL FROM {FEATURES} WHERE image_id = ?)"
        connection.rows(f"DELETE FROM {PARTS} WHERE {had_features}", (image_id,))
    for table in _OF_IMAGE:
        if table in there:
            connection.rows(f"DELETE FROM {table} WHERE image_id = ?", (image_id,))
    if SETTINGS in there:
        _remove_notes(connection)


def remove_pairs(connection: Connection, image_id: int) -> None:
    """Remove all matches and two-view geometries of an image's pairs, and what d2sfm keeps with them.

    They have no foreign key that would do it.
    """
    remove_of_pairs(connection, image_id, {*PAIR_TABLES, *OUR_PAIR_TABLES, *BRIDGE_PAIR_TABLES})


def remove_of_pairs(connection: Connection, image_id: int, of_tables: set[str]) -> None:
    """The same of some tables, if they exist."""
    for table in of_tables & tables(connection):
        if not has_rows(connection, table):  # as in all of a first extraction: else its time would grow as n squared
            continue
        first = MAX_IMAGES * image_id
        connection.rows(f"DELETE FROM {table} WHERE pair_id BETWEEN ? AND ?", (first, first + MAX_IMAGES - 1))
        connection.rows(
            f"DELETE FROM {table} WHERE pair_id IN (SELECT ? * image_id + ? FROM images WHERE image_id < ?)",
            (MAX_IMAGES, image_id, image_id),
        )


def _remove_notes(connection: Connection) -> None:
    """Settings of pairs go with the last pair, those of refinement with the last refined image, the origin of foreign
    keypoints with the last keypoints."""
    of_pairs = dict.fromkeys((Note.MATCH, Note.POSES), PAIR_TABLES)
    noted = of_pairs | {Note.REFINEMENT: (ORIGINALS,), Note.FOREIGN: ("keypoints",)}
    for note, noted_of in noted.items():
        if not any(has_rows(connection, table) for table in noted_of):
            Notes(connection).remove(note)
