"""The pairs that a run of match is asked for; of keypoints that only another tool can match, those that it has matched.

All that the database can't do is refused here, before anything is written.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from d2sfm.database import ForeignStore, MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.options import PairKind, PairSelectionOptions
from d2sfm.pairs.arrays import among
from d2sfm.pairs.pair_files import write_pairs
from d2sfm.pairs.select import select_pairs
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


def asked_pairs(
    database: Path, options: PairSelectionOptions, write_to: Path | str | None, overwrite: bool
) -> np.ndarray:
    """``select_pairs``, [P, 2], less the pairs that can neither be matched nor verified, written on request.

    Those are pairs without matches of images whose descriptors are not D2-Net's. Raises as ``select_pairs``, and
    RuntimeError if no pair is left, or, with overwrite, if such images have pairs that would be matched again.
    """
    with MatchStore(database) as store:
        others, names = store.of_other_descriptors(), store.image_names()
        pairs = _of_others(store, options, others) if others else select_pairs(store, options)
    if not len(pairs):
        raise RuntimeError(
            f"{database} holds {_described(database, others)}, but no pair asked for has matches: match them with the "
            "tool that made them, then run d2sfm match to verify and d2sfm reconstruct to map"
        )
    if overwrite and np.isin(pairs, list(others)).any():
        raise RuntimeError(
            f"{database} holds {_described(database, others)}, which --overwrite can't match again: match them with "
            "the tool that made them, then run d2sfm match without --overwrite"
        )
    if write_to is not None:
        write_pairs(write_to, pairs, names)
    return pairs


def _of_others(store: MatchStore, options: PairSelectionOptions, others: Mapping[int, str]) -> np.ndarray:
    """The pairs asked for that have matches, and those of images that are not among the others."""
    matched, ids = store.done_pairs(verified=False), list(others)
    usable = [image_id for image_id in store.image_names() if store.has_features(image_id)]
    if options.kind is PairKind.AUTO and others.keys() >= set(usable):  # which look alike can't be told
        pairs = image_pairs(matched)
        pairs = pairs[np.isin(pairs, usable).all(axis=1)]
        left, level = len(usable) * (len(usable) - 1) // 2 - len(pairs), logging.INFO
    else:
        chosen = select_pairs(store, options)
        pairs = chosen[~np.isin(chosen, ids).any(axis=1) | among(chosen, matched)]
        left, level = len(chosen) - len(pairs), logging.WARNING
    if left and len(pairs):
        logger.log(
            level,
            "left out: %s without matches, as descriptors of %s are not D2-Net's: only their own tool can match them",
            counted(left, "pair"),
            first_of(list(others.values()), "image"),
        )
    return pairs


def _described(database: Path, others: Mapping[int, str]) -> str:
    """The keypoints whose descriptors are not D2-Net's, in words."""
    with ForeignStore(database) as store:
        extractor = store.extractor() or "another extractor"
    return f"keypoints of {extractor} for {first_of(list(others.values()), 'image')}"
