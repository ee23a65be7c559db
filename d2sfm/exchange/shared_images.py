"""Images that are in two databases which are merged: whether they are the same there, and the ids that they keep."""

import logging
from pathlib import Path

from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.migration import CAMERA_SENSOR
from d2sfm.database.tables import FEATURES, ORIGINALS, columns
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)

# Tables whose rows of an image must be equal: the column of ``images`` that leads there, what they hold in words.
_ALIKE = {
    "cameras": ("camera_id", "cameras"),
    "keypoints": ("image_id", "keypoints"),
    FEATURES: ("image_id", "scores, sizes or settings of extraction"),
    ORIGINALS: ("image_id", "keypoints before refinement"),
    "descriptors": ("image_id", "descriptors"),
}
_BOTH = "main.images AS one JOIN other.images AS two USING (name)"
# Members of rigs and frames; detail: what must be alike of a member, too.
_RIGS = (
    "SELECT rig_id AS id, ref_sensor_id AS member, 1 AS detail FROM {0}.rigs "
    f"WHERE ref_sensor_type = {CAMERA_SENSOR} UNION ALL "
    f"SELECT rig_id, sensor_id, sensor_from_rig FROM {{0}}.rig_sensors WHERE sensor_type = {CAMERA_SENSOR}"
)
_FRAMES = (
    f"SELECT frame_id AS id, data_id AS member, 0 AS detail FROM {{0}}.frame_data WHERE sensor_type = {CAMERA_SENSOR}"
)


def require_same(first: Path, other: Path) -> None:
    """Raise RuntimeError if images that two databases both have differ: in cameras or, to the bit, in features.

    What one of them lacks is no difference: descriptors may be in the other alone.
    """
    with sole_use(other), Connection(first) as connection:
        connection.attach(other, "other")
        for table, (key, what) in _ALIKE.items():
            there = columns(connection, table, "other")
            kept = [name for name in columns(connection, table) if name in there and name != key]
            if not kept:
                continue
            # A row of no keypoints has NULL or an empty blob.
            differ = " OR ".join(f"coalesce(a.{name}, x'') IS NOT coalesce(b.{name}, x'')" for name in kept)
            found = connection.rows(
                f"SELECT name FROM {_BOTH} JOIN main.{table} AS a ON a.{key} = one.{key} "
                f"JOIN other.{table} AS b ON b.{key} = two.{key} WHERE {differ} ORDER BY name"
            )
            if found:
                images = first_of([name for (name,) in found], "image")
                raise RuntimeError(
                    f"{images} with different {what} in {first} and in {other}, expected the same: match other "
                    "pairs in copies of one database (d2sfm refine --restore puts refined keypoints back), or take "
                    "them out of one by d2sfm remove"
                )


def find_shared(connection: Connection, source: Path) -> None:
    """Make the temporary tables of what the attached database ``other`` shares with the main one: ``shared_image``,
    ``shared_camera``, ``shared_rig`` and ``shared_frame``, each with ``other_id`` and ``id``, see ``new_id``.

    Images are known by name, their cameras, rigs and frames by the images. Where a camera has several in the main one,
    that of the smallest id counts. In a transaction of the caller. source: what messages call the other database.
    RuntimeError if rigs or frames of shared images are not alike.
    """
    images = f"SELECT two.image_id, one.image_id FROM {_BOTH}"
    cameras = f"SELECT two.camera_id, min(one.camera_id) FROM {_BOTH} GROUP BY two.camera_id"
    for kind, sql in (("image", images), ("camera", cameras)):
        connection.rows(f"CREATE TEMP TABLE shared_{kind} (other_id INTEGER PRIMARY KEY, id INTEGER NOT NULL)")
        connection.rows(f"INSERT INTO shared_{kind} {sql}")
    for kind, members, of in (("rig", _RIGS, "camera"), ("frame", _FRAMES, "image")):
        connection.rows(f"CREATE TEMP TABLE shared_{kind} (other_id INTEGER PRIMARY KEY, id INTEGER NOT NULL)")
        here, there = members.format("main"), members.format("other")
        met = connection.rows(
            f"SELECT b.id, a.id, sum(a.detail IS b.detail) FROM ({there}) AS b JOIN shared_{of} ON other_id = b.member "
            f"JOIN ({here}) AS a ON a.member = shared_{of}.id GROUP BY b.id, a.id"
        )
        sizes = [dict(connection.rows(f"SELECT id, count(*) FROM ({sql}) GROUP BY id")) for sql in (there, here)]
        if any(not alike == sizes[0][b] == sizes[1][a] for b, a, alike in met):
            raise RuntimeError(
                f"{kind}s of images that are in {source} and in a database before it are not alike: configure the same "
                "rigs in both (--rig-config), or take the images out of one by d2sfm remove"
            )
        connection.run_many(f"INSERT INTO shared_{kind} VALUES (?, ?)", ((b, a) for b, a, _ in met))


def drop_shared(connection: Connection) -> None:
    """Remove the temporary tables."""
    for kind in ("image", "camera", "rig", "frame"):
        connection.rows(f"DROP TABLE shared_{kind}")


def new_id(kind: str, old: str, shift: int) -> str:
    """SQL of the id that something of the other database gets; old: SQL of the one it has there."""
    if kind == "prior":
        return f"{old} + {shift}"
    return f"coalesce((SELECT id FROM shared_{kind} WHERE other_id = {old}), {old} + {shift})"


def warn_of_positions(connection: Connection, source: Path) -> None:
    """Say how many images have other positions in the other database than those that stay."""
    [(number,)] = connection.rows(
        "SELECT count(*) FROM shared_image JOIN main.pose_priors AS a ON a.corr_data_id = id "
        "JOIN other.pose_priors AS b ON b.corr_data_id = other_id WHERE a.corr_sensor_type = b.corr_sensor_type "
        "AND (a.position IS NOT b.position OR a.gravity IS NOT b.gravity OR a.coordinate_system != b.coordinate_system)"
    )
    if number:
        told = "positions of %s in %s differ from those in the databases before it, which are kept"
        logger.warning(told, counted(number, "image"), source)
