"""Keypoints refined before mapping, if possible."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from d2sfm.database import FeatureStore, ForeignStore, MatchStore
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.photographs.photograph import read_headers
from d2sfm.refinement.refine import new_images, noted_options, refine_database, told_of_lacking
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.skipped import Skipped
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


def refine_first(
    database: Path | str,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: MapCacheOptions | None = None,
    way_out: str = "",
    model: Path | None = None,
    progress: bool = False,
    by: Callable[..., RefinementSummary] = refine_database,
) -> RefinementSummary | None:
    """Refine the keypoints of a matched database that are not refined, as ``refine_database`` does.

    None, with the reason in the log, if they can't be refined: they are not of d2sfm, the database is read-only,
    photographs are missing or not those of the features. Refined keypoints stay, whatever their options: pairs that a
    stopped run has left are verified with its options, and keypoints of images added later are aligned with theirs.
    way_out: how to avoid refinement, in words. model: folder of one with points of these keypoints, which is to be
    extended: if none is refined yet, all stay as they are. by: what does the work of ``refine_database``.

    Raises as ``refine_database``, except if nothing was matched, which mapping reports.
    """
    with FeatureStore(database) as features:
        note, new = features.notes.refinement(), features.later_in_pairs()
    with MatchStore(database) as store:
        unverified = store.unverified_pairs()
        is_verified = bool((store.pair_counts()["inliers"] > 0).any())
    if note:
        options = noted_options(note)
    if not (new or unverified if note else is_verified):
        return None
    if model is not None and not note:
        logger.info("keypoints are mapped as they are, not refined: the points of %s are of these", model)
        return None
    if (new or not note) and (reason := _obstacle(database, images)) is not None:
        logger.info("keypoints are mapped as they are, not refined: %s", reason)
        return None
    if new:
        new, lacking = new_images(database, images)
        if not (new or unverified):
            logger.info("%s", told_of_lacking(lacking))
            return None
    if new or not note:
        of = f" of {first_of([*new], 'new image')}" if new else ""
        logger.info("keypoints%s are refined first%s", of, f" ({way_out})" if way_out else "")
    return by(database, images, options=options, cache=cache, progress=progress)


def _obstacle(database: Path | str, images: Path | str | None) -> str | None:
    """Why keypoints can't be refined, in words; None if they can."""
    with ForeignStore(database) as store:
        foreign = store.described()
    with FeatureStore(database) as features:
        extracted, rows = features.extracted(), features.images()
        folder = features.notes.images_folder() if images is None else Path(images)
    if not extracted:
        return f"they are not of d2sfm, but {foreign}" if foreign else "they are not of d2sfm"
    if not os.access(database, os.W_OK):
        return f"{database} is read-only"
    if folder is None or not folder.is_dir():
        return f"no folder of photographs{f' {folder}' if folder else ''} (give --images)"
    there = [name for name in extracted if (folder / name).exists()]
    if 2 * len(there) < len(extracted):
        lacking = f"{len(extracted) - len(there)} of {counted(len(extracted), 'photograph')}"
        return f"{folder} lacks {lacking} (give --images)"
    unusable = Skipped()
    read_headers(folder, there, unusable, sizes={name: (rows[name].width, rows[name].height) for name in there})
    for name, reason in unusable.items():
        return f"{name} in {folder} {reason}"
    return None
