"""Models on disk: numbered folders in place of those of an earlier run, with the colours of the photographs."""

import logging
import os
import shutil
import tempfile
from pathlib import Path

import pycolmap

from d2sfm.database import FeatureStore, quiet_pycolmap

logger = logging.getLogger(__name__)

MODEL_FILES = {"cameras", "images", "points3D", "rigs", "frames"}
MODEL_SUFFIXES = {".bin", ".txt", ".ply"}


def photographs_folder(database: Path, images: Path | str | None) -> Path | None:
    """The folder of photographs, or None with a warning where there is none."""
    if images is None:
        with FeatureStore(database) as features:
            images = features.setting("images")
    if images is None or not Path(images).is_dir():
        place = f"{images} is no folder" if images else "the database does not tell where they are"
        logger.warning("no photographs for point colours, points stay black: %s (give --images)", place)
        return None
    return Path(images)


def colour(models: list[pycolmap.Reconstruction], images: Path | None) -> None:
    """Give points the mean colour of their keypoints in the photographs; without a folder they stay black."""
    if images is None:
        return
    names = {model.images[image_id].name for model in models for image_id in model.reg_image_ids()}
    missing = sorted(name for name in names if not (images / name).is_file())
    if missing:
        logger.warning(
            "%d of %d photographs are not in %s, %s the first: points that only they see stay black (give --images)",
            len(missing),
            len(names),
            images,
            missing[0],
        )
    with quiet_pycolmap():
        for model in models:
            model.extract_colors_for_all_images(images)


def write_models(models: list[pycolmap.Reconstruction], output: Path, *, text: bool, ply: bool) -> tuple[Path, ...]:
    """Write models to ``output``/0, 1, ... in place of the numbered models there; return the folders.

    They are written beside first and moved when all are whole, so a full disk costs no earlier model.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".partial-") as partial:
        for number, model in enumerate(models):
            folder = Path(partial) / str(number)
            folder.mkdir()
            model.write_binary(folder)
            if text:
                model.write_text(folder)
            if ply:
                model.export_PLY(folder / "points3D.ply")
        for folder in numbered(output):
            shutil.rmtree(folder)
        folders = tuple(output / str(number) for number in range(len(models)))
        for folder in folders:
            (Path(partial) / folder.name).rename(folder)
    return folders


def numbered(output: Path) -> list[Path]:
    """The folders of models in ``output``, those of this or an earlier run."""
    return sorted(path for path in output.glob("*") if path.name.isdecimal())


def require_replaceable(output: Path) -> None:
    """Find out before the long work whether its result can be written.

    Raises ValueError or RuntimeError where it can't, or where a numbered folder holds files that are no model.
    """
    there = next(path for path in (output, *output.resolve().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is a file, expected a folder for models")
    if not os.access(there, os.W_OK):
        raise RuntimeError(f"{output} can't be written: {there} is read-only")
    for folder in numbered(output):
        if folder.is_symlink():
            raise RuntimeError(f"{folder} is a link, which is not replaced: give another --output")
        others = [
            path.name
            for path in (folder.iterdir() if folder.is_dir() else [folder])
            if path.stem not in MODEL_FILES or path.suffix not in MODEL_SUFFIXES
        ]
        if others:
            raise RuntimeError(f"{folder} holds {others[0]}, which is no part of a model: give another --output")
