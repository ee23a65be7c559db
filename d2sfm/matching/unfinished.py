"""Pairs that are matched again over several runs, and messages about what stopped runs have left."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from d2sfm.database import FeatureStore, MatchStore, begin_overwriting_pairs, end_overwriting_pairs, pairs_to_overwrite
from d2sfm.database.pair_ids import pair_ids
from d2sfm.text import counted

logger = logging.getLogger(__name__)


def begin_overwriting(database: Path, asked: np.ndarray, settings: dict, overwrite: bool) -> np.ndarray | None:
    """Numbers of the pairs that are still to be matched again, by this run or a stopped one of its settings; None if
    neither overwrites."""
    if overwrite:
        begin_overwriting_pairs(database, pair_ids(*asked.T), settings)
    left = pairs_to_overwrite(database)
    if left is None or left.settings == settings:
        return None if left is None else left.pending
    warn_of_pairs_to_overwrite(database)
    return None


def end_overwriting(database: Path, settings: Mapping, *, is_of_all: bool) -> None:
    """After a run that overwrote, or continued with one that was stopped. is_of_all: it was asked for all pairs."""
    if len(pairs_to_overwrite(database).pending):
        warn_of_pairs_to_overwrite(database)  # of pairs that this run was not asked for
        return
    if is_of_all:  # only now, as a stopped run leaves pairs of the settings that are noted
        with FeatureStore(database) as features:
            features.notes.note_match_settings(settings)
    end_overwriting_pairs(database)


def warn_of_pairs_to_overwrite(database: Path) -> None:
    """Log how many pairs are still to be matched again, and the command."""
    left = pairs_to_overwrite(database)
    if left is None or not len(left.pending):
        return
    with FeatureStore(database) as features:
        noted = features.notes.match_settings()
    others = ", ".join(f"{name} {value}" for name, value in left.settings.items() if noted.get(name, value) != value)
    logger.warning(
        "still to be matched again: %s of %s%s; run d2sfm match --overwrite again with the same options",
        counted(len(left.pending), "pair"),
        database,
        f", with {others}" if others else "",
    )


def warn_of_unfinished(database: Path, part_of: str | None) -> None:
    """Log the same, and how many pairs have matches but no geometry.

    part_of: what these pairs are missing from, in words; None if from nothing, which is not logged.
    """
    warn_of_pairs_to_overwrite(database)
    if part_of is None:
        return
    with FeatureStore(database) as features:
        is_refined = bool(features.notes.refinement())
    with MatchStore(database) as store:
        unverified = store.unverified_pairs()
    if unverified:
        logger.warning(
            "left out of %s: %s of %s with matches but no two-view geometry; run d2sfm %s again",
            part_of,
            counted(unverified, "pair"),
            database,
            "refine" if is_refined else "match",
        )
