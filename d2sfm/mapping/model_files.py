"""Models on disk: numbered folders that replace those of an earlier run, with colours from the photographs."""

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pycolmap
from scipy.ndimage import map_coordinates

from d2sfm.colmap import posed_images
from d2sfm.database import BridgeStore
from d2sfm.models import MODEL_FILES, PLY_NAME, write_model
from d2sfm.parts import finish_putting, part_of, put_in_place, sync
from d2sfm.photographs.reading import load_photograph
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

MODEL_SUFFIXES = {".bin", ".txt", ".ply"}
_IN_OUTPUT = "models"  # in the names of hidden folders


def photographs_folder(database: Path, images: Path | str | None) -> Path | None:
    """The folder of photographs, or None with a warning if it is missing."""
    if images is None:
        with BridgeStore(database) as store:
            images = store.images_folder()
    if images is None or not Path(images).is_dir():
        place = f"{images} is not a folder" if images else "the database does not say where they are"
        logger.warning("no photographs for point colours, so points stay black: %s (give --images)", place)
        return None
    return Path(images)


def colour(models: list[pycolmap.Reconstruction], images: Path | None, kept: Collection[int] = ()) -> None:
    """Give points the mean colour of their keypoints in the photographs; without a folder they stay black.

    kept: ids of points that keep their colours; photographs that show no others are not read.
    """
    if images is None:
        return
    is_read = {}
    for model in models:
        is_read |= _colour(model, images, kept)
    if unread := sorted(name for name, was_read in is_read.items() if not was_read):
        logger.warning(
            "%s of %d missing in %s, damaged or of another size: points seen only in these stay black (give --images)",
            first_of(unread, "photograph"),
            len(is_read),
            images,
        )


def _colour(model: pycolmap.Reconstruction, folder: Path, kept: Collection[int]) -> dict[str, bool]:
    """Colour the points of a model, less those that keep their colours; returns whether each photograph that shows some
    can be read.

    Not with pycolmap's own way, which crashes or hangs on some damaged photographs.
    """
    ids, is_read = np.array(sorted(set(model.points3D).difference(kept)), np.int64), {}
    sums, counts = np.zeros((len(ids), 3)), np.zeros((len(ids), 1))
    for image in posed_images(model):
        observed = [point for point in image.get_observation_points2D() if point.point3D_id not in kept]
        if not observed:
            continue
        try:
            pixels = load_photograph(folder / image.name, (image.camera.width, image.camera.height))
        except (ValueError, OSError):
            is_read[image.name] = False
            continue
        is_read[image.name] = True
        x, y = np.array([point.xy for point in observed]).T - 0.5  # pixel centres are whole here
        height, width, _ = pixels.shape
        inside = (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
        rows = np.searchsorted(ids, [point.point3D_id for point in observed])[inside]
        place = y[inside], x[inside]
        found = [map_coordinates(channel, place, np.float64, order=1) for channel in np.moveaxis(pixels, 2, 0)]
        np.add.at(sums, rows, np.stack(found, axis=1))
        np.add.at(counts, rows, 1)
    seen = counts[:, 0] > 0  # others keep the colour that they have
    for point_id, mean in zip(ids[seen].tolist(), np.rint(sums[seen] / counts[seen]).astype(np.uint8), strict=True):
        model.points3D[point_id].color = mean
    return is_read


def write_models(models: list[pycolmap.Reconstruction], output: Path, *, text: bool, ply: bool) -> tuple[Path, ...]:
    """Write models to ``output``/0, 1, ..., which replace the numbered models there; return the folders.

    They are written beside first and moved when all are complete: neither a full disk (RuntimeError) nor a kill loses
    an earlier model.
    """
    output.mkdir(parents=True, exist_ok=True)
    finish_putting(output, numbered(output), _IN_OUTPUT)
    folders = tuple(output / str(number) for number in range(len(models)))
    with part_of(output / _IN_OUTPUT) as part:
        part.mkdir()
        for model, folder in zip(models, folders, strict=True):
            (part / folder.name).mkdir()
            write_model(model, part / folder.name, called=folder, text=text, ply=ply)
        sync(part)
        put_in_place(part, numbered(output), _IN_OUTPUT)
    return folders


def numbered(output: Path) -> list[Path]:
    """The folders of models in ``output``, those of this or an earlier run, by number."""
    return sorted((path for path in output.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name))


def require_replaceable(output: Path, option: str = "--output") -> None:
    """Check before the long work whether its result can be written, and move models into place that a killed run left.

    option: that names another place. Raises ValueError or RuntimeError if it can't, or if a numbered folder holds files
    that are not of a model.
    """
    there = next(path for path in (output, *output.resolve().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is a file, expected a folder for models")
    if not os.access(there, os.W_OK):
        raise RuntimeError(f"{output} can't be written: {there} is read-only")
    finish_putting(output, numbered(output), _IN_OUTPUT)
    for folder in numbered(output):
        if folder.is_symlink():
            raise RuntimeError(f"{folder} is a link, which d2sfm does not replace: give another {option}")
        others = [
            path.name
            for path in (folder.iterdir() if folder.is_dir() else [folder])
            if path.stem not in MODEL_FILES or path.suffix not in MODEL_SUFFIXES
        ]
        if others:
            raise RuntimeError(f"{folder} holds {others[0]}, which is not part of a model: give another {option}")
        require_own_place(folder)


def require_elsewhere(output: Path, model: Path, option: str = "--output") -> None:
    """As ``require_replaceable``, and RuntimeError if a model that is read would be replaced."""
    if any(model.resolve().is_relative_to(folder.resolve()) for folder in numbered(output)):
        raise RuntimeError(f"{output} holds {model}, which this run would replace: give another {option}")
    require_replaceable(output, option)


def require_own_place(folder: Path) -> None:
    """Check before the work whether the model in a folder can be replaced; RuntimeError if not."""
    folder = folder.resolve()
    for place in (folder, folder.parent):  # the new one is written beside the old one, which is put aside
        if place.exists() and not os.access(place, os.W_OK):
            raise RuntimeError(f"{folder} can't be written: {place} is read-only")


def replace_model(model: pycolmap.Reconstruction, folder: Path, *, text: bool = False, ply: bool = False) -> None:
    """Replace the model in a folder in one step, in the formats that it has there and those requested; other files in
    the folder stay. A kill loses neither model, see ``finish_model``."""
    folder = folder.resolve()
    names = {path.name for path in folder.iterdir()}
    with part_of(folder) as part:
        new = part / folder.name
        new.mkdir(parents=True)
        write_model(
            model,
            new,
            called=folder,
            binary="images.bin" in names,
            text=text or "images.txt" in names,
            ply=ply or PLY_NAME in names,
        )
        for path in folder.iterdir():
            if path.stem not in MODEL_FILES or path.suffix not in MODEL_SUFFIXES:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, new / path.name)
        sync(part)
        put_in_place(part, [folder], _replaced(folder))


def finish_model(folder: Path) -> None:
    """Move a model into its place that a killed run of ``replace_model`` or ``write_models`` has left beside it."""
    folder = folder.resolve()
    if folder.parent.is_dir():
        finish_putting(folder.parent, [folder] if folder.exists() else [], _replaced(folder))
        finish_putting(folder.parent, numbered(folder.parent), _IN_OUTPUT)


def _replaced(folder: Path) -> str:
    """The name of what a killed run leaves beside the folder."""
    return f"{folder.name}.removal"
