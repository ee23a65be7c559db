"""Cameras and positions as COLMAP's rows hold them."""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.connection import Connection
from d2sfm.database.migration import CAMERA_SENSOR


def read_camera(path: Path, name: str, camera_id: int, row: tuple) -> pycolmap.Camera:
    """The camera of a row (model, width, height, params, prior_focal_length). name: of an image that has it.

    Raises RuntimeError if its model is unknown, or its parameters do not fit the model or are not finite.
    """
    model, width, height, params, is_prior = row
    try:
        camera = pycolmap.Camera(
            camera_id=camera_id,
            model=pycolmap.CameraModelId(model),
            width=width,
            height=height,
            params=np.frombuffer(params or b"", "<f8"),
            has_prior_focal_length=bool(is_prior),
        )
        is_whole = camera.verify_params() and np.isfinite(camera.params).all()
    except (ValueError, TypeError, IndexError, RuntimeError):  # no such model, no such parameters
        is_whole = False
    if not is_whole:
        raise RuntimeError(
            f"{path}: the camera {camera_id} of {name} has an unknown camera model or lacks parameters: delete both "
            "from the database"
        )
    return camera


def read_pose_priors(connection: Connection) -> dict[int, pycolmap.PosePrior]:
    """See ``MatchStore.pose_priors``."""
    rows = connection.rows(
        "SELECT image_id, position, gravity, coordinate_system FROM pose_priors JOIN images ON image_id = corr_data_id "
        "WHERE corr_sensor_type = ? ORDER BY image_id",
        (CAMERA_SENSOR,),
    )
    return {
        image_id: pycolmap.PosePrior(
            coordinate_system=pycolmap.PosePriorCoordinateSystem(system),
            **{
                name: np.frombuffer(data, "<f8")
                for name, data in (("position", position), ("gravity", gravity))
                if data
            },
        )
        for image_id, position, gravity, system in rows
    }
