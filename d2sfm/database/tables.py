"""The tables of the database: COLMAP's, and those that d2sfm adds."""

from d2sfm.database.connection import Connection

COLMAP_TABLES = {"cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries"}
PAIR_TABLES = ("matches", "two_view_geometries")

FEATURES = "d2sfm_features"
SETTINGS = "d2sfm_settings"
CAMERAS_GIVEN = "d2sfm_cameras_given"
ORIGINALS = "d2sfm_original_keypoints"
SIGMAS = "d2sfm_keypoint_sigmas"
PARTS = "d2sfm_refined_parts"
PAIRS_ANEW = "d2sfm_pairs_anew"
SIMILARITIES = "d2sfm_similarities"
REFUSED = "d2sfm_refused_pairs"
REFUTED = "d2sfm_refuted_matches"
OUR_PAIR_TABLES = (SIMILARITIES, REFUSED, REFUTED)

ORIENTATION = "orientation"  # EXIF's, of the photograph at extraction; earlier versions turned none and have no column
# Values of 16 bits that are black and white to the network, NULL for all; earlier versions have no columns.
GREY_RANGE = ("grey_low", "grey_high")
# How many keypoints at the end came from tracks that continue there: they have no descriptors or scores. Earlier
# versions made none and have no column.
CONTINUED = "continued"
OUTDATED = ""  # in place of the fingerprint of features that are to be written again

# COLMAP's tools leave these alone, except Database.merge, which drops them. Rows go with their image.
OUR_TABLES = {
    FEATURES: (
        "image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images(image_id) ON DELETE CASCADE, "
        "input_width INTEGER NOT NULL, input_height INTEGER NOT NULL, "
        "scales TEXT NOT NULL, convention TEXT NOT NULL, fingerprint TEXT NOT NULL, scores BLOB NOT NULL, "
        f"{ORIENTATION} INTEGER NOT NULL DEFAULT 1, {GREY_RANGE[0]} INTEGER, {GREY_RANGE[1]} INTEGER, "
        f"{CONTINUED} INTEGER NOT NULL DEFAULT 0"
    ),
    SETTINGS: "key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL",
    CAMERAS_GIVEN: "camera_id INTEGER PRIMARY KEY NOT NULL REFERENCES cameras(camera_id) ON DELETE CASCADE",
    ORIGINALS: (
        "image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images(image_id) ON DELETE CASCADE, data BLOB NOT NULL"
    ),
    SIGMAS: "image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images(image_id) ON DELETE CASCADE, data BLOB NOT NULL",
    PAIRS_ANEW: "pair_id INTEGER PRIMARY KEY NOT NULL, is_written INTEGER NOT NULL",
    # In the order of ``matches``. digest: of both, as other tools replace matches and know nothing of this table.
    SIMILARITIES: "pair_id INTEGER PRIMARY KEY NOT NULL, digest BLOB NOT NULL, similarities BLOB NOT NULL",
    REFUSED: "pair_id INTEGER PRIMARY KEY NOT NULL, reason TEXT NOT NULL",  # why their geometry has no inliers
    REFUTED: "pair_id INTEGER PRIMARY KEY NOT NULL, data BLOB NOT NULL",  # by refinement; as data of ``matches``
    PARTS: (
        "number INTEGER PRIMARY KEY NOT NULL, fingerprint TEXT NOT NULL, nodes BLOB NOT NULL, positions BLOB NOT NULL"
    ),
}


def tables(connection: Connection, schema: str = "main") -> set[str]:
    """Names of the tables in the file, or in an attached one."""
    return {name for (name,) in connection.rows(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'")}


def columns(connection: Connection, table: str, schema: str = "main") -> list[str]:
    """Names of the columns of a table; empty if the table is missing. schema: that of an attached database."""
    return [name for (name,) in connection.rows("SELECT name FROM pragma_table_info(?, ?)", (table, schema))]


def continued_or_0(connection: Connection) -> str:
    """SQL of how many keypoints of an image are continued tracks, in a query of the features."""
    return f"{FEATURES}.{CONTINUED}" if CONTINUED in columns(connection, FEATURES) else "0"


def has_rows(connection: Connection, table: str) -> bool:
    """Whether an existing table holds anything."""
    return bool(connection.rows(f"SELECT NULL FROM {table} LIMIT 1"))


def create_our_tables(connection: Connection) -> None:
    """Make the missing tables of d2sfm. Readers do without them, so that reading changes no file."""
    for name in sorted(OUR_TABLES.keys() - tables(connection)):
        connection.rows(f"CREATE TABLE {name} ({OUR_TABLES[name]})")
    there = columns(connection, FEATURES)
    for name, default in ((ORIENTATION, 1), (CONTINUED, 0)):
        if name not in there:
            connection.rows(f"ALTER TABLE {FEATURES} ADD COLUMN {name} INTEGER NOT NULL DEFAULT {default}")
    for name in GREY_RANGE:
        if name not in there:
            connection.rows(f"ALTER TABLE {FEATURES} ADD COLUMN {name} INTEGER")
