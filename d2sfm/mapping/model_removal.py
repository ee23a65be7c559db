"""Removal of images from a model on disk."""

import logging
from collections.abc import Collection
from pathlib import Path

from d2sfm.colmap import model_files, read_model
from d2sfm.mapping.model_files import finish_model, numbered, replace_model, require_own_place
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


def remove_from_models(folder: Path, names: Collection[str], *, dry_run: bool = False) -> int:
    """``remove_from_model`` for the model in a folder, or, if it is none, for each of its numbered models.

    Returns the number of images in all. Raises ValueError if the folder holds no model.
    """
    # A kill may have left the model beside its folder's place, from where ``remove_from_model`` takes it.
    models = [folder] if model_files(folder) or not folder.exists() else numbered(folder)
    if not models:
        raise ValueError(f"{folder} holds no COLMAP model: expected cameras, images and points3D, or folders 0, 1, ...")
    return sum(remove_from_model(model, names, dry_run=dry_run) for model in models)


def remove_from_model(folder: Path, names: Collection[str], *, with_frames: bool = False, dry_run: bool = False) -> int:
    """Remove images from the model in ``folder``, which is replaced, with the points that fewer than two images then
    see.

    with_frames: images that share a frame of a rig with them go, too, with a warning, as a frame has one pose.
    dry_run: write nothing. Returns the number of images that it had of these names. Raises FileNotFoundError if there
    is no model, RuntimeError if it can't be read or written, or, without ``with_frames``, an image shares a frame with
    one that stays.
    """
    folder = folder.resolve()
    if not dry_run:
        finish_model(folder)
        require_own_place(folder)
    model = read_model(folder)
    chosen = [image for image in model.images.values() if image.name in names]
    frame_ids = sorted({image.frame_id for image in chosen})
    there = {data.id for frame_id in frame_ids for data in model.frames[frame_id].image_ids}
    others = sorted(model.images[image_id].name for image_id in there - {image.image_id for image in chosen})
    if others and not with_frames:
        raise RuntimeError(
            f"{folder}: {others[0]} is in the same rig frame as an image to be removed: name all images of the frame"
        )
    if others:
        logger.warning(
            "%s: also removed, as they share a rig frame with removed images: %s; they can be placed again",
            folder,
            first_of(others, "image"),
        )
    for frame_id in frame_ids:
        model.deregister_frame(frame_id)
    if chosen and not dry_run:
        replace_model(model, folder)
    return len(chosen)
