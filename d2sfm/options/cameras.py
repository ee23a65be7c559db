"""Options of which cameras photographs get."""

from dataclasses import dataclass
from pathlib import Path

from d2sfm.options.choices import CameraMode
from d2sfm.options.fields import Options, option


@dataclass(frozen=True, kw_only=True)
class CameraOptions(Options):
    """How photographs get their cameras on import (COLMAP's ImageReaderOptions)."""

    TITLE = "cameras of new photographs (COLMAP's ImageReaderOptions)"

    camera_mode: CameraMode = option(
        CameraMode.AUTO, help="which photographs share a camera; auto: those that EXIF shows to be of one"
    )
    camera_model: str = option(
        "SIMPLE_RADIAL", metavar="MODEL", help="COLMAP camera model, for example PINHOLE or OPENCV"
    )
    camera_params: str = option(
        "", metavar="P,P,...", help="known parameters, as fx,fy,cx,cy (pixels) for PINHOLE; held fixed by reconstruct"
    )
    existing_camera: int | None = option(
        None, metavar="ID", help="camera of the database that all new photographs get, in place of the options above"
    )
    default_focal_length_factor: float = option(
        1.2, help="focal length, as a multiple of the longest edge, of photographs without one in EXIF"
    )
    cameras: Path | None = option(
        None,
        metavar="FILE",
        help='TOML file of cameras by name: each table is named by a pattern, such as ["left/*"], and holds model, '
        "params, mode, focal_length_factor or existing_camera; the first that matches counts (default: no file)",
    )
    rig_config: Path | None = option(
        None,
        metavar="FILE",
        help="COLMAP's JSON file of rigs; photographs of one image_prefix share a camera (default: no rigs)",
    )

    def _check(self):
        object.__setattr__(self, "camera_model", self.camera_model.replace("-", "_").upper())  # as COLMAP's all are
        self._require_above_zero("default_focal_length_factor")
        own = (self.camera_mode, self.camera_model, self.camera_params)
        if self.existing_camera is not None and own != ("auto", "SIMPLE_RADIAL", ""):
            raise ValueError(
                "existing_camera brings its model and parameters: leave out camera_mode, camera_model and camera_params"
            )
