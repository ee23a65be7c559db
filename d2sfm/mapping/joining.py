"""Further models of the images of a database, for images that can't be placed in the extended model by themselves."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pycolmap

from d2sfm.colmap import posed_images
from d2sfm.database import MatchStore
from d2sfm.mapping.growth import Growth
from d2sfm.matching.in_common import require_same_size
from d2sfm.text import counted


def cameras_of(others: Mapping[Path, pycolmap.Reconstruction], store: MatchStore) -> dict[str, pycolmap.Camera]:
    """Cameras by names of images of the database, of the first of the models that has each.

    RuntimeError if the sizes of a photograph differ.
    """
    ids, cameras = store.image_ids(), {}
    for folder, other in others.items():
        for image in posed_images(other):
            if image.name in ids:
                require_same_size(store, ids[image.name], image, folder)
                cameras.setdefault(image.name, image.camera)
    return cameras


def join_others(
    growth: Growth, others: Mapping[Path, pycolmap.Reconstruction], on_image: Callable[[int], object]
) -> dict[str, str]:
    """Give images that could not be placed the poses of these models, then continue placing.

    A model may have images in common with the extended one only after others were joined, wherever these are named.
    Returns the folders of models that can't be joined, each with the reason, worded to follow its name.
    """
    left = others
    while True:
        reasons = {folder: reason for folder, other in left.items() if (reason := _join(growth, other, on_image))}
        if len(reasons) == len(left):
            return {str(folder): reason for folder, reason in reasons.items()}
        left = {folder: left[folder] for folder in reasons}


def _join(growth: Growth, other: pycolmap.Reconstruction, on_image: Callable[[int], object]) -> str | None:
    """Join a model; returns the reason if it can't be joined."""
    ids = {image.name: image_id for image_id, image in growth.model.images.items()}
    poses = {ids[image.name]: image.cam_from_world() for image in posed_images(other) if image.name in ids}
    common = sum(growth.model.images[image_id].has_pose for image_id in poses)
    if common == len(poses) > 0:
        return None
    if growth.join(poses):
        growth.place(on_image)
        return None
    if common < 2:
        return (
            f"has {common} of its {counted(other.num_reg_images(), 'image')} in common with the extended model, "
            "expected two: match its images with those of the model"
        )
    return f"has {common} images in common with the model, but no two agree on its place"
