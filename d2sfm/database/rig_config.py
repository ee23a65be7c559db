"""COLMAP's rig configuration: a JSON file of rigs, whose cameras are known by the prefixes of image names."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from d2sfm.database.given_camera import given_camera
from d2sfm.files import read_text
from d2sfm.options import CameraOptions
from d2sfm.text import errors_at, one_line

_PREFIX, _IS_REFERENCE = "image_prefix", "ref_sensor"
_POSE = {"cam_from_rig_rotation": 4, "cam_from_rig_translation": 3}  # w, x, y, z; x, y, z
_CAMERA = ("camera_model_name", "camera_params")
_KEYS = {_PREFIX, _IS_REFERENCE, *_POSE, *_CAMERA}
UNIT_TOLERANCE = 1e-3  # of a rotation's quaternion, which files may give rounded


@dataclass(frozen=True)
class RigCamera:
    """A camera of a rig.

    cam_from_rig: None for the reference, and if it is unknown; camera: its model and parameters, None if they are not
    given; passed_over: keys that COLMAP does not know.
    """

    prefix: str
    is_reference: bool
    cam_from_rig: pycolmap.Rigid3d | None
    camera: pycolmap.Camera | None
    passed_over: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Whether the image of a name is of this camera."""
        return name.startswith(self.prefix)


def read_rig_config(path: Path) -> list[list[RigCamera]]:
    """The cameras of each rig. pycolmap's own reader checks little: a rotation of five numbers is written past its end.

    Raises FileNotFoundError if the file is missing, ValueError with the rig and the camera (counted from 1) if it is
    not a rig configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no rig configuration {path}")
    text = read_text(path)
    try:
        rigs = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {one_line(error)}") from error
    if not isinstance(rigs, list) or not rigs:
        raise ValueError(f'{path} is not a rig configuration: expected a list of rigs, [{{"cameras": [...]}}]')
    return [_rig(f"{path}, rig {number}", rig) for number, rig in enumerate(rigs, start=1)]


def _rig(where: str, rig: object) -> list[RigCamera]:
    cameras = rig.get("cameras") if isinstance(rig, dict) else None
    if not isinstance(cameras, list) or not cameras:
        raise ValueError(f'{where}: expected {{"cameras": [...]}}')
    found = [_camera(f"{where}, camera {number}", camera) for number, camera in enumerate(cameras, start=1)]
    if (count := sum(camera.is_reference for camera in found)) != 1:
        raise ValueError(f'{where}: expected "ref_sensor": true for exactly one camera, found it for {count}')
    return found


def _camera(where: str, values: object) -> RigCamera:
    if not isinstance(values, dict) or not isinstance(values.get(_PREFIX), str):
        raise ValueError(f'{where}: expected {{"{_PREFIX}": "left/", ...}}')
    is_reference = values.get(_IS_REFERENCE, False)
    if not isinstance(is_reference, bool):
        raise ValueError(f"{where}: expected {_IS_REFERENCE} to be true or false, found {is_reference!r}")
    cam_from_rig = _pose(where, values)
    if is_reference and cam_from_rig is not None:
        raise ValueError(f"{where}: the reference camera takes no cam_from_rig: leave it out")
    passed_over = tuple(sorted(values.keys() - _KEYS))
    return RigCamera(values[_PREFIX], is_reference, cam_from_rig, _intrinsics(where, values), passed_over)


def _pose(where: str, values: dict) -> pycolmap.Rigid3d | None:
    """cam_from_rig; None if it is not given."""
    if not values.keys() & _POSE.keys():
        return None
    for key, count in _POSE.items():
        numbers = values.get(key)
        is_right = isinstance(numbers, list) and len(numbers) == count and all(map(_is_number, numbers))
        if not is_right:
            raise ValueError(f"{where}: expected {key} of {count} numbers, found {numbers!r}")
    (w, *xyz), translation = (values[key] for key in _POSE)
    if abs(math.hypot(w, *xyz) - 1) > UNIT_TOLERANCE:
        raise ValueError(f"{where}: cam_from_rig_rotation w, x, y, z has length {math.hypot(w, *xyz):g}, expected 1")
    rotation = pycolmap.Rotation3d([*xyz, w])
    rotation.normalize()
    return pycolmap.Rigid3d(rotation, translation)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _intrinsics(where: str, values: dict) -> pycolmap.Camera | None:
    """The camera's model and parameters; None if they are not given."""
    model, params = (values.get(key) for key in _CAMERA)
    if model is None and params is None:
        return None
    if not isinstance(model, str) or not isinstance(params, list) or not params:
        raise ValueError(f"{where}: expected {_CAMERA[0]} and {_CAMERA[1]}, a string and a list of numbers")
    with errors_at(where):
        return given_camera(CameraOptions(camera_model=model, camera_params=",".join(map(repr, params))))
