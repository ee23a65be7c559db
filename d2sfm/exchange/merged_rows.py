"""All rows of one database behind those of another, with ids that count on."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from d2sfm.database.bridge_tables import BRIDGE_IMAGE_TABLES, BRIDGE_PAIR_TABLES, BRIDGE_TABLES, create_bridge_tables
from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.pair_ids import MAX_IMAGES
from d2sfm.database.tables import (
    CAMERAS_GIVEN,
    FEATURES,
    ORIGINALS,
    OUR_PAIR_TABLES,
    OUR_TABLES,
    PAIR_TABLES,
    PAIRS_ANEW,
    PARTS,
    SIGMAS,
    columns,
    create_our_tables,
    tables,
)
from d2sfm.exchange.merge_bridges import join_bridge_notes

# What ids of the second database count on from, column by column, in the order that foreign keys ask for.
RENUMBERED = {
    "cameras": {"camera_id": "camera"},
    "images": {"image_id": "image", "camera_id": "camera"},
    "rigs": {"rig_id": "rig", "ref_sensor_id": "camera"},
    "rig_sensors": {"rig_id": "rig", "sensor_id": "camera"},
    "frames": {"frame_id": "frame", "rig_id": "rig"},
    "frame_data": {"frame_id": "frame", "data_id": "image", "sensor_id": "camera"},
    "pose_priors": {"pose_prior_id": "prior", "corr_data_id": "image", "corr_sensor_id": "camera"},
    **{
        table: {"image_id": "image"}
        for table in ("keypoints", "descriptors", FEATURES, ORIGINALS, SIGMAS, *BRIDGE_IMAGE_TABLES)
    },
    CAMERAS_GIVEN: {"camera_id": "camera"},
}
_OF_PAIRS = (*PAIR_TABLES, *OUR_PAIR_TABLES, *BRIDGE_PAIR_TABLES)
_ID_OF_FIRST, _ID_OF_SECOND = f"pair_id / {MAX_IMAGES}", f"pair_id % {MAX_IMAGES}"


def append_rows(merged: Path, other: Path, source: Path) -> None:
    """Add all rows of a database to another, in one transaction; source: what messages call it."""
    with sole_use(other), Connection(merged) as connection:
        connection.attach(other, "other")
        if tables(connection, "other") & OUR_TABLES.keys():
            create_our_tables(connection)
        if tables(connection, "other") & BRIDGE_TABLES.keys():
            create_bridge_tables(connection)
        with connection.transaction():
            shifts = _shifts(connection)
            [(last,)] = connection.rows("SELECT coalesce(max(image_id), 0) FROM other.images")
            if last + shifts["image"] >= MAX_IMAGES:
                raise RuntimeError(f"ids of the images of {source} go up to {last}: too far for a merged database")
            for table, ids in RENUMBERED.items():
                _add_rows(connection, table, {column: f"{column} + {shifts[kind]}" for column, kind in ids.items()})
            first, second = f"{_ID_OF_FIRST} + {shifts['image']}", f"{_ID_OF_SECOND} + {shifts['image']}"
            are_there = " AND ".join(
                f"{each} IN (SELECT image_id FROM other.images)" for each in (_ID_OF_FIRST, _ID_OF_SECOND)
            )
            for table in _OF_PAIRS:
                _add_rows(connection, table, {"pair_id": f"({first}) * {MAX_IMAGES} + {second}"}, are_there)
            join_bridge_notes(connection)
            for table in {PARTS, PAIRS_ANEW} & tables(connection):
                connection.rows(f"DELETE FROM {table}")


def _shifts(connection: Connection) -> dict[str, int]:
    """What is added to the ids of the other database, by kind: more than all that stand in this one, also in rows that
    were left behind when their image was removed, which have no foreign key."""
    places = defaultdict(list)
    for table, ids in RENUMBERED.items():
        for column in ids.keys() & set(columns(connection, table)):
            places[ids[column]].append((column, table))
    for table in {*_OF_PAIRS} & tables(connection):
        places["image"] += [(_ID_OF_FIRST, table), (_ID_OF_SECOND, table)]
    return {
        kind: 1 + max(connection.rows(f"SELECT coalesce(max({column}), 0) FROM {table}")[0][0] for column, table in of)
        for kind, of in places.items()
    }


def _add_rows(connection: Connection, table: str, changed: Mapping[str, str], where: str = "TRUE") -> None:
    """Copy the rows of a table, with expressions in place of the columns that change."""
    shared = [column for column in columns(connection, table) if column in columns(connection, table, "other")]
    if shared:
        values = ", ".join(changed.get(column, column) for column in shared)
        connection.rows(
            f"INSERT INTO main.{table} ({', '.join(shared)}) SELECT {values} FROM other.{table} WHERE {where}"
        )
