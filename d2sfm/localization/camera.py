"""What is known of a query's camera."""

import copy
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.coordinates import Size
from d2sfm.parts import scratch_folder
from d2sfm.photographs.blank_copies import write_blank_copy

FIRST_GUESS = 1.2  # focal length over the longer edge where nothing is known, as in COLMAP


class Focal(Enum):
    """How well the focal length is known: fixed, an initial value, or estimated."""

    KNOWN, EXIF, UNKNOWN = range(3)


class QueryCamera(NamedTuple):
    """A camera, and how well it is known."""

    camera: pycolmap.Camera
    focal: Focal

    def copied(self) -> pycolmap.Camera:
        """A copy, as estimation changes cameras in place."""
        return copy.deepcopy(self.camera)


def camera_of(image: Path | None, size: Size, given: pycolmap.Camera | None = None) -> QueryCamera:
    """The camera of a photograph, whose size is (width, height) as stored, or of a picture without a file.

    Raises ValueError if the given one is of another size.
    """
    if given is not None:
        if (given.width, given.height) != tuple(size):
            raise ValueError(
                f"is {size[0]} x {size[1]} px, but its camera {given.width} x {given.height} px: give the camera of "
                "this size"
            )
        return QueryCamera(given, Focal.KNOWN)
    if image is not None:
        with scratch_folder() as folder, quiet_pycolmap():
            write_blank_copy(image, folder / "blank.png")
            found = pycolmap.infer_camera_from_image(folder / "blank.png", pycolmap.ImageReaderOptions())
        if found.has_prior_focal_length:
            return QueryCamera(_simple(found.mean_focal_length(), size), Focal.EXIF)
    return QueryCamera(_simple(FIRST_GUESS * max(size), size), Focal.UNKNOWN)


def _simple(focal_px: float, size: Size) -> pycolmap.Camera:
    return pycolmap.Camera.create_from_model_name(0, "SIMPLE_RADIAL", focal_px, *size)
