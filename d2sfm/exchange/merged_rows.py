"""All rows of one database behind those of another: ids count on but for what both have."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from d2sfm.database.bridge_tables import BRIDGE_IMAGE_TABLES, BRIDGE_TABLES, create_bridge_tables
from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.pair_ids import MAX_IMAGES
from d2sfm.database.tables import (
    CAMERAS_GIVEN,
    FEATURES,
    ORIGINALS,
    OUR_TABLES,
    PAIRS_ANEW,
    PARTS,
    SIGMAS,
    columns,
    create_our_tables,
    tables,
)
from d2sfm.exchange.merge_bridges import join_bridge_notes
from d2sfm.exchange.merged_pairs import ID_OF_FIRST, ID_OF_SECOND, OF_PAIRS, add_pairs
from d2sfm.exchange.shared_images import drop_shared, find_shared, new_id, warn_of_positions

# What ids of the second database count on from, column by column, in the order that foreign keys ask for. By the first
# column a row is known: where the database has one of that id, it stays.
RENUMBERED = {
    "cameras": {"camera_id": "camera"},
    "images": {"image_id": "image", "camera_id": "camera"},
    "rigs": {"rig_id": "rig", "ref_sensor_id": "camera"},
    "rig_sensors": {"rig_id": "rig", "sensor_id": "camera"},
    "frames": {"frame_id": "frame", "rig_id": "rig"},
    "frame_data": {"frame_id": "frame", "data_id": "image", "sensor_id": "camera"},
    "pose_priors": {"corr_data_id": "image", "pose_prior_id": "prior", "corr_sensor_id": "camera"},
    **{
        table: {"image_id": "image"}
        for table in ("keypoints", "descriptors", FEATURES, ORIGINALS, SIGMAS, *BRIDGE_IMAGE_TABLES)
    },
    CAMERAS_GIVEN: {"camera_id": "camera"},
}


def append_rows(merged: Path, other: Path, source: Path) -> int:
    """Add all rows of a database to another, in one transaction; source: what messages call it.

    Images of the same name are one: their rows stay, and what is lacking comes from the other, see ``add_pairs`` for
    the pairs. Returns how many pairs both have with different rows.
    """
    with sole_use(other), Connection(merged) as connection:
        connection.attach(other, "other")
        if tables(connection, "other") & OUR_TABLES.keys():
            create_our_tables(connection)
        if tables(connection, "other") & BRIDGE_TABLES.keys():
            create_bridge_tables(connection)
        with connection.transaction():
            find_shared(connection, source)
            warn_of_positions(connection, source)
            shifts = _shifts(connection)
            unshared = "image_id NOT IN (SELECT other_id FROM shared_image)"
            [(last,)] = connection.rows(f"SELECT coalesce(max(image_id), 0) FROM other.images WHERE {unshared}")
            if last + shifts["image"] >= MAX_IMAGES:
                raise RuntimeError(f"ids of the images of {source} go up to {last}: too far for a merged database")
            for table, ids in RENUMBERED.items():
                _add_rows(connection, table, ids, shifts)
            different = add_pairs(connection, lambda image: new_id("image", image, shifts["image"]), source)
            drop_shared(connection)
            join_bridge_notes(connection)
            for table in {PARTS, PAIRS_ANEW} & tables(connection):
                connection.rows(f"DELETE FROM {table}")
    return different


def _shifts(connection: Connection) -> dict[str, int]:
    """What is added to the ids of the other database, by kind: more than all that stand in this one, also in rows that
    were left behind when their image was removed, which have no foreign key."""
    places = defaultdict(list)
    for table, ids in RENUMBERED.items():
        for column in ids.keys() & set(columns(connection, table)):
            places[ids[column]].append((column, table))
    for table in {*OF_PAIRS} & tables(connection):
        places["image"] += [(ID_OF_FIRST, table), (ID_OF_SECOND, table)]
    return {
        kind: 1 + max(connection.rows(f"SELECT coalesce(max({column}), 0) FROM {table}")[0][0] for column, table in of)
        for kind, of in places.items()
    }


def _add_rows(connection: Connection, table: str, ids: Mapping[str, str], shifts: Mapping[str, int]) -> None:
    """Copy the rows of a table that are not there, with new ids. ids: the kinds of the columns that have some."""
    shared = [column for column in columns(connection, table) if column in columns(connection, table, "other")]
    if not shared:
        return
    key, kind = next(iter(ids.items()))
    there = f"SELECT other_id FROM shared_{kind} JOIN main.{table} AS kept ON kept.{key} = id"
    values = (new_id(ids[column], column, shifts[ids[column]]) if column in ids else column for column in shared)
    connection.rows(
        f"INSERT INTO main.{table} ({', '.join(shared)}) SELECT {', '.join(values)} FROM other.{table} "
        f"WHERE {key} NOT IN ({there})"
    )
