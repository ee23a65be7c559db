"""D2 keypoints and matches added behind those of another extractor, and removed again, in transactions of the caller.

What was there stays the first part of each row, so that existing indices, matches and models stay valid.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.database.bridge_store import keep_layer
from d2sfm.database.bridge_tables import (
    BRIDGED_IMAGES,
    BRIDGED_PAIRS,
    LAYER,
    UNBRIDGED,
    create_bridge_tables,
    drop_bridge_tables,
    is_bridged,
)
from d2sfm.database.connection import Connection
from d2sfm.database.filler_rows import filler_rows
from d2sfm.database.pair_ids import MAX_IMAGES, pair_ids
from d2sfm.database.pair_rows import COLUMNS, geometry_row, matches_row, read_matches
from d2sfm.database.tables import PAIR_TABLES

COLUMNS_OF_NONE = 4  # of keypoints, where no image has any yet


class BridgedPair(NamedTuple):
    """What is added to a pair of images, of which the first has the smaller id; indices are those of the bridged
    database.

    matches, inliers: [M, 2], behind the existing ones. geometry: replaces the existing one and has all of its inliers;
    None if that stays.
    """

    images: tuple[int, int]
    matches: np.ndarray
    inliers: np.ndarray
    geometry: pycolmap.TwoViewGeometry | None


def write_bridge(
    connection: Connection, schema: str, own_counts: Mapping[int, int], pairs: Iterable[BridgedPair]
) -> None:
    """Bridge a database that is not bridged (``remove_bridge``): add the keypoints of a layer, attached as ``schema``,
    behind those of their images, and what is added to pairs.

    own_counts: the numbers of keypoints by image_id that pairs were made with. Raises RuntimeError if they have
    changed.
    """
    create_bridge_tables(connection)
    keep_layer(connection, schema)
    found = connection.rows("SELECT cols FROM keypoints GROUP BY cols ORDER BY count(*) DESC, cols LIMIT 1")
    common = found[0][0] if found else COLUMNS_OF_NONE
    of_descriptors = connection.rows("SELECT type, cols FROM descriptors GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1")
    of_layer = connection.rows(f"SELECT image_id, name FROM {LAYER}keypoints JOIN images USING (image_id)")
    for image_id, name in of_layer:
        [(data,)] = connection.rows(f"SELECT data FROM {LAYER}keypoints WHERE image_id = ?", (image_id,))
        keypoints = np.frombuffer(data or b"", "<f4").reshape(-1, 4)
        own, empty = _append_keypoints(connection, image_id, keypoints, common)
        if (own or 0) != own_counts[image_id]:
            raise RuntimeError(
                f"another program changed {name} in {connection.path} during this run: run the command again"
            )
        described = _append_fillers(connection, image_id, name, len(keypoints), of_descriptors if own is None else [])
        connection.rows(
            f"INSERT INTO {BRIDGED_IMAGES} (image_id, keypoints, no_keypoints, descriptors, no_descriptors) "
            "VALUES (?, ?, ?, ?, ?)",
            (image_id, own, empty, *described),
        )
    for pair in pairs:
        _write_pair(connection, pair)


def _append_keypoints(
    connection: Connection, image_id: int, keypoints: np.ndarray, common: int
) -> tuple[int | None, bytes | None]:
    """Returns how many rows there were, None for no row, and the bytes that stood for no rows."""
    found = connection.rows("SELECT rows, cols, data FROM keypoints WHERE image_id = ?", (image_id,))
    [(own, columns, data)] = found or [(None, common, None)]
    more = in_columns(keypoints, columns).tobytes()
    values = (image_id, (own or 0) + len(keypoints), columns, (data or b"") + more)
    connection.rows("INSERT OR REPLACE INTO keypoints (image_id, rows, cols, data) VALUES (?, ?, ?, ?)", values)
    return own, None if own else data


def in_columns(keypoints: np.ndarray, columns: int) -> np.ndarray:
    """D2 keypoints, [N, 4] x, y, scale in pixels of the photograph, 0, as COLMAP stores keypoints of 2, 4 or 6 numbers:
    x, y; x, y, scale, orientation; x, y and an affine shape, here a scale. [N, columns] float32."""
    if columns in (2, 4):
        return np.ascontiguousarray(keypoints[:, :columns], "<f4")
    found = np.zeros((len(keypoints), 6), "<f4")
    found[:, :2], found[:, 2], found[:, 5] = keypoints[:, :2], keypoints[:, 2], keypoints[:, 2]
    return found


def _append_fillers(
    connection: Connection, image_id: int, name: str, count: int, like: list[tuple[int, int]]
) -> tuple[int | None, bytes | None]:
    """As ``_append_keypoints``. like: type and bytes of a row where the image has none; empty for none."""
    found = connection.rows("SELECT rows, type, cols, data FROM descriptors WHERE image_id = ?", (image_id,))
    if not found and not like:
        return None, None
    [(own, type_id, row_bytes, data)] = found or [(None, *like[0], None)]
    fillers = filler_rows(count, row_bytes, type_id, name)
    values = (image_id, type_id, (own or 0) + count, row_bytes, (data or b"") + fillers)
    sql = "INSERT OR REPLACE INTO descriptors (image_id, type, rows, cols, data) VALUES (?, ?, ?, ?, ?)"
    connection.rows(sql, values)
    return own, None if own else data


def _write_pair(connection: Connection, pair: BridgedPair) -> None:
    pair_id = int(pair_ids(*pair.images))
    connection.rows(f"INSERT INTO {BRIDGED_PAIRS} (pair_id) VALUES (?)", (pair_id,))
    for table in PAIR_TABLES:
        names = ", ".join(COLUMNS[table])
        sql = f"INSERT INTO {UNBRIDGED}{table} ({names}) SELECT {names} FROM {table} WHERE pair_id = ?"
        connection.rows(sql, (pair_id,))
    _put(connection, "matches", matches_row(pair_id, _behind(connection, "matches", pair_id, pair.matches), False))
    if pair.geometry is not None:
        _put(connection, "two_view_geometries", geometry_row(pair_id, pair.geometry, False))
        return
    inliers = matches_row(pair_id, _behind(connection, "two_view_geometries", pair_id, pair.inliers), False)
    sql = "UPDATE two_view_geometries SET rows = ?, cols = ?, data = ? WHERE pair_id = ?"
    connection.rows(sql, (*inliers[1:], pair_id))


def _behind(connection: Connection, table: str, pair_id: int, more: np.ndarray) -> np.ndarray:
    rows = connection.rows(f"SELECT CAST(data AS BLOB) FROM {table} WHERE pair_id = ?", (pair_id,))
    own = read_matches(rows[0][0] if rows else None, False)
    return np.concatenate([own, more.astype(np.uint32).reshape(-1, 2)])


def _put(connection: Connection, table: str, row: tuple) -> None:
    marks = ", ".join("?" * len(row))
    connection.rows(f"INSERT OR REPLACE INTO {table} ({', '.join(COLUMNS[table])}) VALUES ({marks})", row)


def remove_bridge(connection: Connection) -> int:
    """Restore all rows, remove the tables of the bridge, and return the number of images.

    Images that another tool has extracted again since, and their pairs, stay as they are.
    """
    if not is_bridged(connection):
        return 0
    connection.rows(
        f"DELETE FROM {BRIDGED_IMAGES} WHERE coalesce(keypoints, 0) + (SELECT rows FROM {LAYER}keypoints AS of_layer "
        f"WHERE of_layer.image_id = {BRIDGED_IMAGES}.image_id) IS NOT "
        f"(SELECT rows FROM keypoints WHERE keypoints.image_id = {BRIDGED_IMAGES}.image_id)"
    )
    [(count,)] = connection.rows(f"SELECT count(*) FROM {BRIDGED_IMAGES}")
    for table, number in (("keypoints", "4 * cols"), ("descriptors", "cols")):
        of_image = f"{BRIDGED_IMAGES} AS bridged WHERE bridged.image_id = {table}.image_id"
        connection.rows(
            f"DELETE FROM {table} WHERE image_id IN (SELECT image_id FROM {BRIDGED_IMAGES} WHERE {table} IS NULL)"
        )
        connection.rows(
            f"UPDATE {table} SET rows = (SELECT bridged.{table} FROM {of_image}), "
            f"data = (SELECT iif(bridged.{table}, substr({table}.data, 1, {number} * bridged.{table}), no_{table}) "
            f"FROM {of_image}) WHERE image_id IN (SELECT image_id FROM {BRIDGED_IMAGES})"
        )
    connection.rows(
        f"DELETE FROM {BRIDGED_PAIRS} WHERE pair_id / {MAX_IMAGES} NOT IN (SELECT image_id FROM {BRIDGED_IMAGES}) "
        f"OR pair_id % {MAX_IMAGES} NOT IN (SELECT image_id FROM {BRIDGED_IMAGES})"
    )
    for table in PAIR_TABLES:
        names, bridged = ", ".join(COLUMNS[table]), f"pair_id IN (SELECT pair_id FROM {BRIDGED_PAIRS})"
        connection.rows(f"DELETE FROM {table} WHERE {bridged}")
        connection.rows(f"INSERT INTO {table} ({names}) SELECT {names} FROM {UNBRIDGED}{table} WHERE {bridged}")
    drop_bridge_tables(connection)
    return count
