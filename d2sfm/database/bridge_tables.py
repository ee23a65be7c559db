"""The tables of a bridged database: D2-Net's keypoints behind those of another extractor, and what restores these.

What d2sfm makes of the D2 keypoints alone (features, matches, geometries, refinement, notes) is a database of its own,
the *layer*. Its tables are kept in the bridged one under names with ``LAYER`` before them. Keypoint k of an image in
the layer is keypoint ``keypoints + k`` of that image in COLMAP's tables, see ``BRIDGED_IMAGES``.
"""

from d2sfm.database.connection import Connection
from d2sfm.database.tables import (
    FEATURES,
    ORIGINALS,
    OUR_PAIR_TABLES,
    OUR_TABLES,
    PAIR_TABLES,
    REFUSED,
    REFUTED,
    SETTINGS,
    SIGMAS,
    SIMILARITIES,
    tables,
)

LAYER = "d2sfm_bridge_"
BRIDGED_IMAGES = "d2sfm_bridged_images"
BRIDGED_PAIRS = "d2sfm_bridged_pairs"
UNBRIDGED = "d2sfm_unbridged_"  # before the name of a table: rows of BRIDGED_PAIRS as they were

_OF_IMAGE = "image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images(image_id) ON DELETE CASCADE"
_ARRAY = "rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB"
_MATRICES = "F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB, camera1 BLOB, camera2 BLOB"
_PAIRS = {
    "matches": f"pair_id INTEGER PRIMARY KEY NOT NULL, {_ARRAY}",
    "two_view_geometries": f"pair_id INTEGER PRIMARY KEY NOT NULL, {_ARRAY}, config INTEGER NOT NULL, {_MATRICES}",
}
# By the names that the tables have in the layer.
_LAYER_TABLES = {
    "keypoints": f"{_OF_IMAGE}, {_ARRAY}",
    "descriptors": f"{_OF_IMAGE}, type INTEGER NOT NULL, {_ARRAY}",
    **_PAIRS,
    **{name: OUR_TABLES[name] for name in (FEATURES, ORIGINALS, SIGMAS, SIMILARITIES, REFUSED, REFUTED, SETTINGS)},
}
LAYER_TABLES = tuple(_LAYER_TABLES)
LAYER_PAIR_TABLES = tuple(f"{LAYER}{name}" for name in (*PAIR_TABLES, *OUR_PAIR_TABLES))

BRIDGE_TABLES = {
    # keypoints, descriptors: how many rows the extractor had written, which are the first ones; NULL where it had no
    # row. Where that is 0, ``no_`` is what its row held for none, NULL or an empty blob.
    BRIDGED_IMAGES: f"{_OF_IMAGE}, keypoints INTEGER, descriptors INTEGER, no_keypoints BLOB, no_descriptors BLOB",
    BRIDGED_PAIRS: "pair_id INTEGER PRIMARY KEY NOT NULL",
    **{f"{LAYER}{name}": sql for name, sql in _LAYER_TABLES.items()},
    **{f"{UNBRIDGED}{name}": _PAIRS[name] for name in PAIR_TABLES},
}
BRIDGE_PAIR_TABLES = (BRIDGED_PAIRS, *(f"{UNBRIDGED}{name}" for name in PAIR_TABLES), *LAYER_PAIR_TABLES)
BRIDGE_IMAGE_TABLES = tuple(name for name, sql in BRIDGE_TABLES.items() if sql.startswith("image_id"))


def is_bridged(connection: Connection) -> bool:
    """Whether a database has D2 keypoints behind others."""
    return BRIDGED_IMAGES in tables(connection)


def create_bridge_tables(connection: Connection) -> None:
    """Make the tables where they are missing."""
    for name in BRIDGE_TABLES.keys() - tables(connection):
        connection.rows(f"CREATE TABLE {name} ({BRIDGE_TABLES[name]})")


def drop_bridge_tables(connection: Connection) -> None:
    """Remove the tables, in a transaction of the caller."""
    for name in BRIDGE_TABLES.keys() & tables(connection):
        connection.rows(f"DROP TABLE {name}")
