"""PINHOLE cameras that replace those of a model."""

import math

import pycolmap

_ROUNDING_PX = 1e-6


def pinhole_camera(camera: pycolmap.Camera, max_edge: int | None = None, is_central: bool = False) -> pycolmap.Camera:
    """The PINHOLE camera of the undistorted photographs of a camera, with the same id.

    As COLMAP makes it: no pixel is blank. A camera without distortion keeps size and parameters. is_central: cropped so
    that the principal point is in the middle; max_edge: the longest edge in pixels, to which it is then reduced.

    Raises ValueError if no such camera exists, as for a panorama.
    """
    if not camera.is_perspective():  # of whose focal length pycolmap crashes the process
        raise ValueError(f"has a {camera.model_name} camera, which no PINHOLE camera can replace")
    if is_pinhole(camera):
        size = {"width": camera.width, "height": camera.height}
        target = pycolmap.Camera(model=pycolmap.CameraModelId.PINHOLE, params=_pinhole_params(camera), **size)
    else:
        target = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
    if is_central:
        _crop(target)
    if max_edge is not None and max(target.width, target.height) > max_edge:
        options = pycolmap.UndistortCameraOptions()
        options.max_image_size = max_edge
        target = pycolmap.undistort_camera(options, target)
    target.camera_id = camera.camera_id
    return target


def is_pinhole(camera: pycolmap.Camera) -> bool:
    """Whether the camera shows straight lines straight. COLMAP calls undistorted also what only has no coefficients:
    a fisheye lens and a panorama."""
    return camera.is_undistorted() and camera.is_perspective() and not camera.is_perspective_fisheye()


def keeps_pixels(source: pycolmap.Camera, target: pycolmap.Camera) -> bool:
    """Whether the photographs of both cameras are the same."""
    if not is_pinhole(source) or (source.width, source.height) != (target.width, target.height):
        return False
    return _pinhole_params(source) == _pinhole_params(target)


def _pinhole_params(camera: pycolmap.Camera) -> list[float]:
    focal_px = camera.focal_length_x, camera.focal_length_y
    return [*focal_px, camera.principal_point_x, camera.principal_point_y]


def _crop(camera: pycolmap.Camera) -> None:
    """Take pixels away on all sides, or on some, until the principal point is in the middle."""
    fx, fy, cx, cy = camera.params
    half_width = math.floor(min(cx, camera.width - cx) + _ROUNDING_PX)
    half_height = math.floor(min(cy, camera.height - cy) + _ROUNDING_PX)
    if cx * 2 == camera.width and cy * 2 == camera.height:
        return
    if min(half_width, half_height) < 1:
        raise ValueError(
            f"has its principal point at {cx:.1f}, {cy:.1f} px, outside of the picture or at its edge: can't be cropped"
        )
    camera.width, camera.height = 2 * half_width, 2 * half_height
    camera.params = [fx, fy, float(half_width), float(half_height)]
