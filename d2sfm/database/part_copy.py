"""Some images of a database in a new one, where their pairs are matched, and the rows of these pairs in a file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from d2sfm.database.connection import Connection, open_pycolmap, sole_use
from d2sfm.database.pair_ids import MAX_IMAGES
from d2sfm.database.pair_rows import COLUMNS
from d2sfm.database.tables import (
    FEATURES,
    ORIGINALS,
    REFUTED,
    SETTINGS,
    SIMILARITIES,
    columns,
    create_our_tables,
    tables,
)

_OF_IMAGES = ("images", "keypoints", "descriptors", FEATURES, ORIGINALS)
_OF_PAIRS = ("matches", SIMILARITIES)
RECORD = "block"  # the key of what tells a file's rows from others


def is_whole(database: Path) -> bool:
    """Whether a database is there and was not cut short. It is only read, and nobody may write to it."""
    try:
        with Connection(database, is_constant=True) as connection:
            connection.rows("SELECT NULL FROM images LIMIT 1")
    except RuntimeError:
        return False
    return True


def ids_of_images(source: Path, names: Iterable[str]) -> dict[str, int]:
    """Ids of those of the images that a database has, by name. It is only read, and nobody may write to it."""
    with Connection(source, is_constant=True) as connection:
        connection.rows("CREATE TEMP TABLE asked (name TEXT PRIMARY KEY)")
        # Bytes, as texts are UTF-8: a name that is not is of no image.
        encoded = ((name.encode(errors="surrogateescape"),) for name in names)
        connection.run_many("INSERT INTO asked VALUES (CAST(? AS TEXT))", encoded)
        return dict(connection.rows("SELECT name, image_id FROM asked JOIN images USING (name)"))


def copy_part(source: Path, copy: Path, image_ids: Iterable[int], matched: Iterable[int]) -> None:
    """Write to a new database the images of these ids with their cameras and features, and our notes.

    matched: numbers of pairs (see ``pair_ids``) whose matches, without geometries, are written, too. The source is
    only read, without locks: nobody may write to it meanwhile. Raises RuntimeError if it can't be read.
    """
    with open_pycolmap(copy):
        pass
    with sole_use(source), Connection(copy) as connection:
        create_our_tables(connection)
        connection.attach(source, "source", is_constant=True)
        connection.rows("CREATE TEMP TABLE wanted (id INTEGER PRIMARY KEY)")
        connection.run_many("INSERT INTO wanted VALUES (?)", ((int(image_id),) for image_id in image_ids))
        connection.rows("CREATE TEMP TABLE matched (id INTEGER PRIMARY KEY)")
        connection.run_many("INSERT INTO matched VALUES (?)", ((int(pair_id),) for pair_id in matched))
        of_images = "SELECT camera_id FROM source.images WHERE image_id IN (SELECT id FROM wanted)"
        where = {"cameras": f"WHERE camera_id IN ({of_images})"}
        where |= dict.fromkeys(_OF_IMAGES, "WHERE image_id IN (SELECT id FROM wanted)")
        where |= dict.fromkeys(_OF_PAIRS, "WHERE pair_id IN (SELECT id FROM matched)") | {SETTINGS: ""}
        both = (f"pair_id {sign} {MAX_IMAGES} IN (SELECT id FROM wanted)" for sign in "/%")
        where[REFUTED] = f"WHERE {' AND '.join(both)}"  # also of pairs that are matched again
        there = tables(connection, "source")
        with connection.transaction():
            for table in (name for name in where if name in there):  # cameras before their images
                of_source = set(columns(connection, table, "source"))
                shared = ", ".join(name for name in columns(connection, table) if name in of_source)
                connection.rows(
                    f"INSERT INTO main.{table} ({shared}) SELECT {shared} FROM source.{table} {where[table]}"
                )


def write_pair_rows(database: Path, file: Path, pairs: np.ndarray, record: dict[str, Any]) -> None:
    """Write all rows of some pairs of a database to a new SQLite file with these tables alone, and a record.

    pairs: their numbers, see ``pair_ids``.
    """
    file.touch()
    with sole_use(database), Connection(file) as connection:
        connection.attach(database, "source")
        connection.rows("CREATE TEMP TABLE wanted (id INTEGER PRIMARY KEY)")
        connection.run_many("INSERT INTO wanted VALUES (?)", ((pair_id,) for pair_id in pairs.tolist()))
        made = dict(connection.rows("SELECT name, sql FROM source.sqlite_master WHERE type = 'table'"))
        with connection.transaction():
            for table, names in COLUMNS.items():
                listed = ", ".join(names)
                connection.rows(made[table])
                connection.rows(
                    f"INSERT INTO main.{table} ({listed}) SELECT {listed} FROM source.{table} "
                    "WHERE pair_id IN (SELECT id FROM wanted) ORDER BY pair_id"
                )
            connection.rows(made[SETTINGS])
            connection.rows(f"INSERT INTO main.{SETTINGS} VALUES (?, ?)", (RECORD, json.dumps(record)))


def read_record(file: Path) -> dict[str, Any] | None:
    """The record of such a file; None if there is none, or it was cut short. The file is only read."""
    if not file.is_file():
        return None
    try:
        with Connection(file, is_constant=True) as connection:
            [(text,)] = connection.rows(f"SELECT value FROM {SETTINGS} WHERE key = ?", (RECORD,))
        return json.loads(text)
    except (RuntimeError, ValueError):  # no database, or one that lacks pages
        return None
