"""The results of a run, updated for photographs that were added or removed since."""

import logging
from pathlib import Path

import pycolmap

from d2sfm.colmap import model_files, posed_images, read_model
from d2sfm.database import FeatureStore, exclusive, remove_photographs
from d2sfm.mapping.extend import ExtensionResult, extend_model
from d2sfm.mapping.model_files import finish_model, numbered
from d2sfm.mapping.model_removal import remove_from_model
from d2sfm.mapping.transcription import OtherKeypoints
from d2sfm.options import ReconstructionOptions
from d2sfm.photographs.photograph import missing_photographs
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


def remove_gone(database: Path, photographs: Path, models: Path) -> tuple[str, ...]:
    """Remove images whose photographs are missing from the models and the database. Returns their names.

    Models come first, so that the next run continues after a stop in between. They lose frames of rigs whole; what is
    left of a frame can be placed again. Raises RuntimeError if more than half are gone.
    """
    if not database.exists():
        return ()
    with FeatureStore(database) as features:
        gone = missing_photographs(photographs, list(features.images()))
    if gone:
        logger.info("missing since an earlier run, so the model loses them: %s", first_of(gone, "photograph"))
        with exclusive(database):
            for folder in _models(models):
                remove_from_model(folder, gone, with_frames=True)
            remove_photographs(database, gone)
    return tuple(gone)


def extended(
    database: Path, models: Path, *, images: Path, options: ReconstructionOptions, progress: bool
) -> ExtensionResult | None:
    """Place photographs in the first model, which is replaced. None if that gives no model of most of them: without a
    model, if its points are of other keypoints, or if it still lacks half or more."""
    found = _models(models)[:1]
    if not found or len(names_of(read_model(found[0]))) < 2:
        return None
    try:
        settings = {"images": images, "options": options, "progress": progress}
        result = extend_model(database, found[0], found[0], adjust=True, **settings)
    except OtherKeypoints:
        logger.info("keypoints differ from those of %s, so all photographs are mapped again", found[0])
        return None
    return result if 2 * result.statistics.images > result.images else None


def names_of(model: pycolmap.Reconstruction) -> set[str]:
    """Names of the images that have a pose."""
    return {image.name for image in posed_images(model)}


def _models(folder: Path) -> list[Path]:
    """Best first, with those that a killed run has left behind."""
    finish_model(folder / "0")
    return [path for path in numbered(folder) if model_files(path)]
