"""The results of a run, updated for photographs that were added or removed since."""

import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import model_files, posed_images, read_model
from d2sfm.database import FeatureStore, MatchStore, exclusive, remove_photographs
from d2sfm.database.pair_ids import image_pairs
from d2sfm.mapping.extend import ExtensionResult, extend_model
from d2sfm.mapping.model_files import finish_model, numbered
from d2sfm.mapping.model_removal import remove_from_model
from d2sfm.mapping.transcription import OtherKeypoints
from d2sfm.options import ReconstructionOptions
from d2sfm.photographs.photograph import gone_photographs
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


def remove_gone(database: Path, photographs: Path, models: Path) -> tuple[str, ...]:
    """Remove images whose photographs are gone from the models and the database. Returns their names.

    Models come first, so that the next run continues after a stop in between. They lose frames of rigs whole; what is
    left of a frame can be placed again. Raises RuntimeError if more than half are gone.
    """
    if not database.exists():
        return ()
    with FeatureStore(database) as features:
        gone = gone_photographs(photographs, list(features.images()))
    if gone:
        logger.info("missing since an earlier run, so the model loses them: %s", first_of(gone, "photograph"))
        with exclusive(database):
            for folder in _models(models):
                remove_from_model(folder, gone, with_frames=True)
            remove_photographs(database, gone)
    return tuple(gone)


def extended(
    database: Path, models: Path, *, images: Path, options: ReconstructionOptions, progress: bool
) -> list[ExtensionResult]:
    """Place photographs in the models, which are replaced: in the first one, then in each of the others those that no
    model has, if it shares verified pairs with some.

    The result of the first model comes first; the others tell of photographs that are nearer to them. Each photograph
    that no model has is told once. Empty if the first model can't become one of most photographs: there is none, its
    points are of other keypoints, or it still lacks half or more.
    """
    found = _models(models)
    if not found or len(names_of(read_model(found[0]))) < 2:
        return []
    extend = partial(extend_model, database, adjust=True, images=images, options=options, progress=progress)
    try:
        first = extend(found[0], found[0])
    except OtherKeypoints:
        logger.info("keypoints differ from those of %s, so all photographs are mapped again", found[0])
        return []
    if 2 * first.statistics.images <= first.images:
        return []
    there = {folder: names_of(read_model(folder)) for folder in found[1:]}
    reasons = {name: why for name, why in first.not_placed.items() if name not in set().union(*there.values())}
    others, left = [], set(reasons)
    for folder, names in there.items():
        if not (near := _sharing_pairs(database, left, names)):
            continue
        try:
            result = extend(folder, folder, only=left)
        except OtherKeypoints:
            logger.info("keypoints differ from those of %s, so it stays as it is", folder)
            continue
        left -= set(result.added)
        own = {name: why for name, why in result.not_placed.items() if name in near and name in reasons}
        reasons = {name: why for name, why in reasons.items() if name in left - own.keys()}
        others.append(replace(result, not_placed=own))
    return [replace(first, not_placed=reasons), *others]


def _sharing_pairs(database: Path, left: Collection[str], there: Collection[str]) -> set[str]:
    """Those of the images left that are in a verified pair with one that is there."""
    with MatchStore(database) as store:
        pairs, names = image_pairs(store.done_pairs(verified=True)), store.image_names()
    is_left, is_there = (np.isin(pairs, [id_ for id_, name in names.items() if name in of]) for of in (left, there))
    return {names[image_id] for image_id in pairs[is_left & is_there[:, ::-1]].tolist()}


def names_of(model: pycolmap.Reconstruction) -> set[str]:
    """Names of the images that have a pose."""
    return {image.name for image in posed_images(model)}


def in_other_models(models: Path, first: Path | None) -> set[str]:
    """Names of the images that have a pose in a model of an output that is not the first."""
    return set().union(*(names_of(read_model(folder)) for folder in _models(models) if folder != first))


def _models(folder: Path) -> list[Path]:
    """Best first, with those that a killed run has left behind."""
    finish_model(folder / "0")
    return [path for path in numbered(folder) if model_files(path)]
