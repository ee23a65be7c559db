"""Databases as COLMAP 3.8 wrote them: no rigs, frames and pose priors, descriptors without a type."""

import sqlite3
from pathlib import Path

SCHEMA = """
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
    camera_id INTEGER NOT NULL, prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL,
    prior_tx REAL, prior_ty REAL, prior_tz REAL,
    CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < 2147483647),
    FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB, FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    data BLOB, config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB);
CREATE UNIQUE INDEX index_name ON images(name);
PRAGMA user_version = 3800;
"""


def write_old_copy(source: Path, target: Path, positions: dict[str, tuple] | None = None) -> Path:
    """Write what a database holds as COLMAP 3.8 would have; positions: x, y, z by image name. Returns the target."""
    tables = ("cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries")
    connection = sqlite3.connect(target)
    connection.executescript(SCHEMA)
    connection.execute("ATTACH DATABASE ? AS source", (str(source),))
    for table in tables:
        columns = {
            schema: [
                name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?, ?)", (table, schema))
            ]
            for schema in ("main", "source")
        }
        shared = ", ".join(column for column in columns["main"] if column in columns["source"])
        connection.execute(f"INSERT INTO main.{table} ({shared}) SELECT {shared} FROM source.{table}")
    for name, position in (positions or {}).items():
        connection.execute(
            "UPDATE main.images SET prior_qw = 1, prior_qx = 0, prior_qy = 0, prior_qz = 0, "
            "prior_tx = ?, prior_ty = ?, prior_tz = ? WHERE name = ?",
            (*position, name),
        )
    connection.commit()
    connection.close()
    return target
