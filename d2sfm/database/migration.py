"""What databases of older COLMAP versions lack, and pycolmap does not add when it brings their tables up to date."""

import re
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.tables import columns, has_rows

# What COLMAP's newest version writes as user_version: 4020100 for 4.2.1.
SCHEMA_VERSION = int("{:0>2}{:0>2}{:0>2}00".format(*re.findall(r"\d+", pycolmap.__version__)))
CAMERA_SENSOR = int(pycolmap.SensorType.CAMERA)  # as in the tables of rigs and frames
_UNKNOWN = np.array(np.nan, "<f8").tobytes()  # a number of a pose prior


def bring_up_to_date(path: Path) -> None:
    """Bring an older COLMAP's database to the newest schema. Raises RuntimeError if pycolmap can't open it."""
    _carry_pose_priors(path)
    with Connection(path) as connection:
        [(version,)] = connection.rows("PRAGMA user_version")
    if version != SCHEMA_VERSION:
        with open_pycolmap(path):
            pass


def _carry_pose_priors(path: Path) -> None:
    """Bring GPS positions from where COLMAP 3.8 had them, columns of the images, to the table of pose priors.

    pycolmap makes that table and leaves it empty. Which coordinates they are was not noted: those that can be latitude
    and longitude, as COLMAP 3.8 took from EXIF, count as these. Images without position have NULL or, from scripts, 0.
    """
    with Connection(path) as connection:
        if "prior_tx" not in columns(connection, "images"):
            return
        if columns(connection, "pose_priors") and has_rows(connection, "pose_priors"):
            return
        positions = connection.rows(
            "SELECT image_id, camera_id, prior_tx, prior_ty, prior_tz FROM images "
            "WHERE prior_tx + prior_ty + prior_tz NOTNULL AND (prior_tx != 0 OR prior_ty != 0 OR prior_tz != 0) "
            "ORDER BY image_id"
        )
    if not positions:
        return
    xyz = np.array([position[2:] for position in positions], "<f8")
    is_gps = (np.abs(xyz[:, 0]) <= 90).all() and (np.abs(xyz[:, 1]) <= 180).all()
    system = pycolmap.PosePriorCoordinateSystem
    same = (_UNKNOWN * 9, _UNKNOWN * 3, int(system.WGS84 if is_gps else system.CARTESIAN))
    rows = [
        (*ids, CAMERA_SENSOR, place.tobytes(), *same) for (*ids, _, _, _), place in zip(positions, xyz, strict=True)
    ]
    with open_pycolmap(path):  # makes the table
        pass
    with Connection(path) as connection, connection.transaction():  # all at once: where some are, none is carried
        connection.run_many(
            "INSERT INTO pose_priors (corr_data_id, corr_sensor_id, corr_sensor_type, position, position_covariance, "
            "gravity, coordinate_system) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def complete_frames(path: Path) -> None:
    """Give images a frame, and their cameras a rig, if others have them: mapping refuses a mixture.

    If no image has one, as before COLMAP 3.12, mapping makes them itself.
    """
    of_camera = "sensor_type = ?"
    with Connection(path) as connection, connection.transaction():
        if not columns(connection, "frames") or not has_rows(connection, "frames"):
            return
        lacking = connection.rows(
            f"SELECT image_id, camera_id FROM images WHERE image_id NOT IN "
            f"(SELECT data_id FROM frame_data WHERE {of_camera}) ORDER BY image_id",
            (CAMERA_SENSOR,),
        )
        for image_id, camera_id in lacking:
            [(frame_id,)] = connection.rows(
                "INSERT INTO frames (rig_id) VALUES (?) RETURNING frame_id", (_rig(connection, camera_id),)
            )
            connection.rows(
                "INSERT INTO frame_data (frame_id, data_id, sensor_id, sensor_type) VALUES (?, ?, ?, ?)",
                (frame_id, image_id, camera_id, CAMERA_SENSOR),
            )


def _rig(connection: Connection, camera_id: int) -> int:
    """The rig of a camera, else a new one with this camera alone."""
    found = connection.rows(
        "SELECT rig_id FROM rigs WHERE ref_sensor_id = ? AND ref_sensor_type = ? "
        "UNION SELECT rig_id FROM rig_sensors WHERE sensor_id = ? AND sensor_type = ?",
        (camera_id, CAMERA_SENSOR) * 2,
    ) or connection.rows(
        "INSERT INTO rigs (ref_sensor_id, ref_sensor_type) VALUES (?, ?) RETURNING rig_id", (camera_id, CAMERA_SENSOR)
    )
    return found[0][0]
