"""Pairs of one database beside those of another, which may have some of them, too, with ids in the other order."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from d2sfm.database.bridge_tables import BRIDGE_PAIR_TABLES
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import MAX_IMAGES
from d2sfm.database.pair_rows import COLUMNS, turned_rows
from d2sfm.database.tables import OUR_PAIR_TABLES, PAIR_TABLES, REFUSED, REFUTED, SIMILARITIES, columns, tables

OF_PAIRS = (*PAIR_TABLES, *OUR_PAIR_TABLES, *BRIDGE_PAIR_TABLES)
ID_OF_FIRST, ID_OF_SECOND = f"(pair_id / {MAX_IMAGES})", f"(pair_id % {MAX_IMAGES})"
_IDS = [("other_id", np.int64), ("id", np.int64), ("is_turned", np.bool_)]


def add_pairs(connection: Connection, new_image_id: Callable[[str], str], source: Path) -> int:
    """Add the pairs of the attached database ``other``, and return how many both have with different rows.

    Of those the rows that are there stay. Where the matches of both are equal, similarities and a geometry that are
    lacking come from the other. In a transaction of the caller. new_image_id: SQL of what an image of the other is
    called here, from SQL of its id there; source: what messages call the other database.
    """
    # Cameras in rows of geometries keep their ids: COLMAP reads their parameters alone, and merges them as they are.
    here, there = tables(connection), tables(connection, "other")
    _number_pairs(connection, new_image_id, [name for name in OF_PAIRS if name in there])
    for name in OF_PAIRS:
        if name in here & there:
            kept = [each for each in columns(connection, name) if each in columns(connection, name, "other")]
            values = ["id" if each == "pair_id" else each for each in kept]
            connection.rows(
                f"INSERT OR REPLACE INTO main.{name} ({', '.join(kept)}) SELECT {', '.join(values)} FROM other.{name} "
                "JOIN merged_pairs ON other_id = pair_id WHERE NOT is_turned AND NOT is_there"
            )
    special = "SELECT other_id, id, is_turned FROM merged_pairs WHERE is_turned OR is_there ORDER BY id"
    different = 0
    for other_id, pair_id, is_turned in connection.table(special, _IDS).tolist():
        own, others = _rows(connection, "main", here, pair_id), _rows(connection, "other", there, other_id)
        try:
            turned = turned_rows(others) if is_turned else others
            alike = {name for name in COLUMNS if own.get(name) == turned.get(name)}
            if is_turned and own:  # by rounding, a geometry turned twice is not the one it was
                alike |= {name for name, row in turned_rows(own).items() if row == others.get(name)}
        except ValueError as error:
            names = connection.rows(
                "SELECT name FROM other.images WHERE image_id IN (?, ?) ORDER BY image_id", divmod(other_id, MAX_IMAGES)
            )
            pair = " - ".join(name for (name,) in names)
            raise RuntimeError(f"{source}: the pair {pair} has a row that is not whole: match it again") from error
        for name, row in _taken(own, turned, alike).items():
            marks = ", ".join("?" * len(COLUMNS[name]))
            connection.rows(
                f"INSERT OR REPLACE INTO main.{name} ({', '.join(COLUMNS[name])}) VALUES ({marks})", (pair_id, *row)
            )
        different += _differ(own, turned, alike)
    connection.rows("DROP TABLE merged_pairs")
    return different


def _number_pairs(connection: Connection, new_image_id: Callable[[str], str], of: list[str]) -> None:
    """Make the temporary table of the other's pairs: their number there and here, whether the ids of the images change
    places, and whether the pair is here already."""
    numbers = " UNION ".join(f"SELECT pair_id FROM other.{name}" for name in of)
    are_images = " AND ".join(f"{each} IN (SELECT image_id FROM other.images)" for each in (ID_OF_FIRST, ID_OF_SECOND))
    connection.rows(
        "CREATE TEMP TABLE merged_pairs "
        "(other_id INTEGER PRIMARY KEY, id INTEGER NOT NULL, is_turned INTEGER NOT NULL, is_there INTEGER NOT NULL)"
    )
    connection.rows(
        f"INSERT INTO merged_pairs SELECT pair_id, min(a, b) * {MAX_IMAGES} + max(a, b), a > b, FALSE FROM "
        f"(SELECT pair_id, {new_image_id(ID_OF_FIRST)} AS a, {new_image_id(ID_OF_SECOND)} AS b FROM ({numbers}) "
        f"WHERE {are_images})"
    )
    for name in PAIR_TABLES:
        connection.rows(f"UPDATE merged_pairs SET is_there = TRUE WHERE id IN (SELECT pair_id FROM main.{name})")


def _rows(connection: Connection, schema: str, there: set[str], pair_id: int) -> dict[str, tuple]:
    """The rows of a pair by table, as ``turned_rows`` takes them; of no matches the data are NULL or an empty blob."""
    found = {}
    for name in COLUMNS.keys() & there:
        sql = f"SELECT {', '.join(COLUMNS[name][1:])} FROM {schema}.{name} WHERE pair_id = ?"
        for row in connection.rows(sql, (pair_id,)):
            found[name] = tuple(None if value == b"" and name in PAIR_TABLES else value for value in row)
    return found


def _taken(own: Mapping[str, tuple], others: Mapping[str, tuple], alike: set[str]) -> dict[str, tuple]:
    if own.keys().isdisjoint(PAIR_TABLES):
        return dict(others)
    if "matches" not in alike:
        return {}
    lacking = {SIMILARITIES, REFUTED} - own.keys()
    if "two_view_geometries" in others.keys() - own.keys():
        lacking |= {"two_view_geometries", REFUSED}
    return {name: others[name] for name in lacking & others.keys()}


def _differ(own: Mapping[str, tuple], others: Mapping[str, tuple], alike: set[str]) -> bool:
    if own.keys().isdisjoint(PAIR_TABLES) or others.keys().isdisjoint(PAIR_TABLES):
        return False
    return "matches" not in alike or not own.keys() & others.keys() <= alike
