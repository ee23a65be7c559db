"""Cameras whose parameters the user gives: checked before they are written, and marked in the database."""

import logging
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.file import require_database
from d2sfm.database.tables import CAMERAS_GIVEN, create_our_tables, tables
from d2sfm.options import CameraOptions
from d2sfm.spelling import did_you_mean
from d2sfm.text import counted

logger = logging.getLogger(__name__)

CAMERA_MODELS = [name for name in pycolmap.CameraModelId.__members__ if name != "INVALID"]
CAMERAS_SHOWN = 10


def given_camera(options: CameraOptions) -> pycolmap.Camera | None:
    """Camera of the model and parameters that the options give, or None without parameters.

    Checked here, before pycolmap, which only says that a check failed: raises ValueError for an unknown camera model or
    wrong parameters.
    """
    if options.camera_model not in CAMERA_MODELS:
        hint = did_you_mean(options.camera_model, CAMERA_MODELS) or f": expected one of {', '.join(CAMERA_MODELS)}"
        raise ValueError(f"no camera model {options.camera_model}{hint}")
    if not options.camera_params:
        return None
    try:
        params = [float(number) for number in options.camera_params.split(",")]
    except ValueError:
        raise ValueError(
            f"camera parameters must be numbers separated by commas, found {options.camera_params}"
        ) from None
    model = pycolmap.CameraModelId.__members__[options.camera_model]
    camera = pycolmap.Camera.create_from_model_id(0, model, 1.0, 1, 1)
    if len(params) != len(camera.params):
        raise ValueError(
            f"{options.camera_model} has {len(camera.params)} parameters ({camera.params_info}), found {len(params)}"
        )
    if not all(map(math.isfinite, params)) or any(params[index] <= 0 for index in camera.focal_length_idxs()):
        raise ValueError(f"camera parameters must be finite, with focal lengths above 0, found {options.camera_params}")
    camera.params = params
    return camera


def require_camera(path: Path, camera_id: int) -> None:
    """Raise FileNotFoundError or RuntimeError if there is no such database, or no such camera in it."""
    require_database(path)
    with Connection(path) as connection:
        there = [camera for (camera,) in connection.rows("SELECT camera_id FROM cameras ORDER BY camera_id")]
    if camera_id not in there:
        shown = ", ".join(map(str, there[:CAMERAS_SHOWN])) + (", ..." if len(there) > CAMERAS_SHOWN else "")
        raise RuntimeError(f"{path} has no camera {camera_id}, " + (f"it has {shown}" if there else "it has none"))


def require_given(path: Path, given: pycolmap.Camera, camera_ids: list[int]) -> None:
    """Raise RuntimeError if a camera that photographs are to share has not the given model and parameters."""
    with open_pycolmap(path) as database:
        for camera in map(database.read_camera, sorted(set(camera_ids))):
            if not _same_parameters(camera, given):
                raise RuntimeError(
                    f"the given camera is {_words(given)}, but photographs would share camera {camera.camera_id} of "
                    f"{path}, which is {_words(camera)}"
                )


def mark_given(path: Path, given: pycolmap.Camera, camera_ids: list[int]) -> None:
    """Mark those of the photographs' cameras that have the given parameters, and warn of the others."""
    with open_pycolmap(path) as database:
        cameras = {camera_id: database.read_camera(camera_id) for camera_id in sorted(set(camera_ids))}
    same = {camera_id for camera_id, camera in cameras.items() if _same_parameters(camera, given)}
    mark_cameras_given(path, sorted(same))
    others = sum(camera_id not in same for camera_id in camera_ids)
    if others:
        logger.warning(
            "the camera of %s stays as it is in %s: the given parameters are for new photographs",
            counted(others, "photograph"),
            path,
        )


def mark_cameras_given(path: Path, camera_ids: Iterable[int]) -> None:
    """Note that the user gave the parameters of these cameras. Raises RuntimeError if the file can't be written."""
    with Connection(path) as connection:
        create_our_tables(connection)
        with connection.transaction():
            connection.run_many(
                f"INSERT OR IGNORE INTO {CAMERAS_GIVEN} (camera_id) VALUES (?)",
                [(camera_id,) for camera_id in camera_ids],
            )


def cameras_given(path: Path) -> set[int]:
    """Ids of the cameras whose parameters the user gave. Raises RuntimeError if the file can't be read."""
    with Connection(path) as connection:
        if CAMERAS_GIVEN not in tables(connection):
            return set()
        return {camera_id for (camera_id,) in connection.rows(f"SELECT camera_id FROM {CAMERAS_GIVEN}")}


def _same_parameters(camera: pycolmap.Camera, given: pycolmap.Camera) -> bool:
    return camera.model == given.model and np.array_equal(camera.params, given.params)


def _words(camera: pycolmap.Camera) -> str:
    return f"{camera.model_name} {','.join(f'{number:g}' for number in camera.params)}"
