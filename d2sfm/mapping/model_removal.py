"""Removal of images from a model on disk."""

from collections.abc import Collection
from pathlib import Path

from d2sfm.colmap import read_model
from d2sfm.mapping.model_files import finish_model, replace_model


def remove_from_model(folder: Path, names: Collection[str], *, dry_run: bool = False) -> int:
    """Remove images from the model in ``folder``, which is replaced, with the points that fewer than two images then
    see.

    Returns the number of images that it had of these names. dry_run: write nothing. Raises FileNotFoundError if there
    is no model, RuntimeError if it can't be read or written, or an image shares a frame of a rig with one that stays.
    """
    folder = folder.resolve()
    finish_model(folder)
    model = read_model(folder)
    chosen = [image for image in model.images.values() if image.name in names]
    for frame_id in sorted({image.frame_id for image in chosen}):
        data_ids = {data.id for data in model.frames[frame_id].image_ids}
        if others := data_ids - {image.image_id for image in chosen}:
            raise RuntimeError(
                f"{folder}: {model.images[min(others)].name} is in the same rig frame as an image to be removed: name "
                "all images of the frame"
            )
        model.deregister_frame(frame_id)
    if chosen and not dry_run:
        replace_model(model, folder)
    return len(chosen)
