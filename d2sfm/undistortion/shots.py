"""Which images of a model are written, with their names and cameras."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pycolmap

from d2sfm.colmap import placed_images
from d2sfm.options import Layout
from d2sfm.photographs.masks import Masks
from d2sfm.skipped import Skipped
from d2sfm.undistortion.cameras import pinhole_camera
from d2sfm.undistortion.names import as_png, base_names
from d2sfm.undistortion.pictures import Shot, holds_alpha


def make_shots(
    model: pycolmap.Reconstruction, layout: Layout, max_edge: int | None, images: Path, masks: Masks, skipped: Skipped
) -> list[Shot]:
    """The images of a model that can be written; ``skipped`` gets the others.

    Other layouts than COLMAP's have no subfolders. That of 3DGS has cameras with a central principal point, and
    pictures with a mask in a format that has alpha.
    """
    found = placed_images(model)
    names = {image.name: image.name for image in found}
    if layout is not Layout.COLMAP:
        names = base_names(names)
    targets, shots = {}, []
    for image in found:
        with skipped.catching(image.name):
            _require_inside(image.name)
            if image.camera_id not in targets:
                targets[image.camera_id] = pinhole_camera(image.camera, max_edge, layout is Layout.GAUSSIANS)
            shot = Shot(
                image_id=image.image_id,
                name=image.name,
                new_name=names[image.name],
                source=image.camera,
                target=targets[image.camera_id],
            )
            shots.append(_with_alpha(shot, images, masks) if layout is Layout.GAUSSIANS else shot)
    return shots


def _require_inside(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("has a name that leads out of the folder of photographs")


def _with_alpha(shot: Shot, images: Path, masks: Masks) -> Shot:
    """With the suffix of a format that has alpha, if the picture gets a mask and its own format has none."""
    path = images / shot.name  # that it is missing is told when it is its turn
    if not masks.has(shot.name) or not path.exists() or holds_alpha(path):
        return shot
    return replace(shot, new_name=as_png(shot.new_name))
