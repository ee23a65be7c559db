"""Photographs of the square, by day or by day and by night in turn, with the true model beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.demo.exposure import photograph_by_night
from d2sfm.demo.night import build_square_by_day_and_night
from d2sfm.demo.rendering import photograph, render
from d2sfm.demo.scene import Camera, arc_of_views
from d2sfm.demo.square import CENTRE, build_square
from d2sfm.models import write_model
from d2sfm.options import DemoOptions
from d2sfm.plots.canvas import save_image
from d2sfm.progress import Bar

DAY_SUFFIX, NIGHT_SUFFIX = "_day.png", "_night.png"


def take_photographs(
    output: Path, options: DemoOptions, *, size: tuple[int, int] = (640, 480), progress: bool = False
) -> tuple[list[Camera], pycolmap.Reconstruction]:
    """Write images/NAME for each view and truth/, a COLMAP model of the exact cameras without points, in text.

    Views are view_00.png, view_01.png, ... along the arc. With ``options.night`` they are view_00_day.png,
    view_01_night.png, ..., from the same places, of the square with street lamps. Bit for bit the same for the same
    options and size, (width, height) in pixels. Returns the cameras and the true model. Raises FileExistsError where
    the folder has these.
    """
    (output / "images").mkdir(parents=True)
    (output / "truth").mkdir()
    cameras, generator = arc_of_views(CENTRE, options.views, size), np.random.default_rng(options.seed)
    if options.night:
        kinds = [NIGHT_SUFFIX if index % 2 else "_day.png" for index in range(len(cameras))]
        cameras = [
            replace(each, name=each.name.replace(".png", kind)) for each, kind in zip(cameras, kinds, strict=True)
        ]
        by_day, by_night = build_square_by_day_and_night(options.seed)
    else:
        by_day = by_night = build_square(options.seed)
    for camera in Bar(cameras, desc="render", unit="view", disable=not progress):
        is_dark = is_by_night(camera.name)
        picture = render(by_night if is_dark else by_day, camera).image
        save_image(
            output / "images" / camera.name, (photograph_by_night if is_dark else photograph)(picture, generator)
        )
    truth = truth_model(cameras)
    write_model(truth, output / "truth", binary=False, text=True)
    return cameras, truth


def is_by_night(name: str) -> bool:
    """Whether a view of that name was taken at night."""
    return name.endswith(NIGHT_SUFFIX)


def truth_model(cameras: list[Camera]) -> pycolmap.Reconstruction:
    """The true cameras as a COLMAP model without points; they share one PINHOLE camera, that of the first."""
    first, model = cameras[0], pycolmap.Reconstruction()
    params = [first.fx, first.fy, first.cx, first.cy]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="PINHOLE", width=first.width, height=first.height, params=params)
    )
    for image_id, camera in enumerate(cameras, start=1):
        cam_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(camera.rotation), camera.translation)
        image = pycolmap.Image(name=camera.name, camera_id=1, image_id=image_id)
        model.add_image_with_trivial_frame(image, cam_from_world)
    return model
