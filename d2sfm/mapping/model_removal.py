"""Images out of a model on disk."""

import shutil
from collections.abc import Collection
from pathlib import Path

import pycolmap

from d2sfm.colmap import read_model
from d2sfm.mapping.model_files import MODEL_FILES, MODEL_SUFFIXES
from d2sfm.models import PLY_NAME, write_model
from d2sfm.parts import finish_putting, part_of, put_in_place, sync


def remove_from_model(folder: Path, names: Collection[str], *, dry_run: bool = False) -> int:
    """Take images out of the model in ``folder``, in its place, with the points that fewer than two images then see.

    Returns how many it had of these names. dry_run: write nothing. Raises FileNotFoundError where there is no model,
    RuntimeError where it can't be read or written, or an image shares a frame of a rig with one that stays.
    """
    folder = folder.resolve()
    finish_putting(folder.parent, [folder], _name(folder))
    model = read_model(folder)
    chosen = [image for image in model.images.values() if image.name in names]
    for frame_id in sorted({image.frame_id for image in chosen}):
        data_ids = {data.id for data in model.frames[frame_id].image_ids}
        if others := data_ids - {image.image_id for image in chosen}:
            raise RuntimeError(
                f"{folder}: {model.images[min(others)].name} was taken in one frame of a rig with an image that is to "
                "go: name all images of the frame"
            )
        model.deregister_frame(frame_id)
    if chosen and not dry_run:
        _replace(model, folder)
    return len(chosen)


def _replace(model: pycolmap.Reconstruction, folder: Path) -> None:
    """Write the model in the formats that the folder has, all at once; other files in it stay."""
    names = {path.name for path in folder.iterdir()}
    formats = {"binary": "images.bin" in names, "text": "images.txt" in names, "ply": PLY_NAME in names}
    with part_of(folder) as part:
        new = part / folder.name
        new.mkdir(parents=True)
        write_model(model, new, called=folder, **formats)
        for path in folder.iterdir():
            if path.stem not in MODEL_FILES or path.suffix not in MODEL_SUFFIXES:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, new / path.name)
        sync(part)
        put_in_place(part, [folder], _name(folder))


def _name(folder: Path) -> str:
    """Of what a killed run leaves beside the folder."""
    return f"{folder.name}.removal"
