"""Matches and two-view geometries of image pairs, into COLMAP's database.

d2sfm match --database db.db [--pairs retrieval]
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    exclusive,
    require_database,
    require_not_bridged,
    require_own_features,
)
from d2sfm.database.pair_ids import NO_PAIRS, image_pairs
from d2sfm.matching.asked import asked_pairs
from d2sfm.matching.known_poses import forget_poses, note_poses, unverified_of_known
from d2sfm.matching.settings import note_settings, settings_of, thresholds_told
from d2sfm.matching.summary import MatchSummary
from d2sfm.matching.unfinished import begin_overwriting, end_overwriting
from d2sfm.matching.work import Work, check_options, do_work, match_some, work_of
from d2sfm.options import MatchingOptions, PairSelectionOptions, VerificationOptions
from d2sfm.pairs.arrays import union
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


def match_database(
    database: Path | str,
    *,
    options: MatchingOptions | None = None,
    verification: VerificationOptions | None,
    pairs: PairSelectionOptions | None = None,
    write_pairs_to: Path | str | None = None,
    reference: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    num_threads: int | None = None,
    by: Callable[[MatchStore, Work, int | None, bool], MatchSummary] = do_work,
) -> MatchSummary:
    """Match the images of a database in pairs, verify the matches, and write both.

    verification: None leaves two-view geometries out.
    pairs: which images to match, see ``pairs.select``; write_pairs_to: text file for what that came to.
    num_threads: each matches and verifies a pair (default: one for each processor); the results do not depend on it.
    by: what does the work, see ``work.do_work``.
    reference: the folder of a COLMAP model with known poses and intrinsics of the images. All pairs of these that have
    matches, asked for or not, are verified by them, and not by RANSAC, now and whenever they are verified later. They
    are kept until another model is given, or ``overwrite`` without one.

    Pairs that are there already are passed over, with a warning where other options made them; ``overwrite`` matches
    them again. A pair that has matches but no geometry keeps its matches and is only verified, without options.guided.
    Each pair is written whole, so a stopped run continues where it was. Left out with a warning are images that have no
    features yet, and pairs without matches of images whose descriptors are not D2-Net's. A pair is verified within
    verification.max_error, in pixels of the network's input, times the larger resize factor of its images; where the
    keypoints of both are refined, within the threshold of refinement.

    Raises FileNotFoundError for a missing file or model, ValueError for a bad pairs file or device, and for guided
    matching and a reference without verification, RuntimeError if the file is no database or in use, has fewer than two
    images with features, lacks what the pairs are chosen by, has no matches of keypoints that only another tool can
    match, or matches of these that would be overwritten, or if the reference can't be read or is of other photographs.
    """
    database, options = Path(database), options or MatchingOptions()
    check_options(options, verification)
    if reference is not None and verification is None:
        raise ValueError("known poses verify pairs: --reference does not go with --no-verify")
    require_database(database)
    with exclusive(database):
        if overwrite:
            require_not_bridged(database, "match --overwrite")
        if reference is not None:
            require_not_bridged(database, "match --reference")
        require_own_features(database, "match", or_descriptors=True)  # SIFT's matches are verified
        with FeatureStore(database) as features:
            thresholds, is_refined = thresholds_told(features, verification), bool(features.notes.refinement())
            later = set(features.later().values())
        asked = asked_pairs(database, pairs or PairSelectionOptions(), write_pairs_to, overwrite)
        settings = settings_of(options, verification)
        if reference is not None or overwrite:
            with MatchStore(database) as store:
                if reference is None:
                    forget_poses(store, asked)
                else:
                    logger.info("%s", note_poses(store, Path(reference)))
        with FeatureStore(database) as features:
            differing = note_settings(features, settings)
        left = begin_overwriting(database, asked, settings, overwrite)
        with MatchStore(database) as store:
            if reference is not None:
                asked = union(asked, unverified_of_known(store))
            work = work_of(store, asked, options, verification, thresholds, NO_PAIRS if left is None else left)
            _warn(store, work, differing, left is not None)
            if is_refined:
                _tell_of_new(work, later)
            summary = by(store, work, num_threads, progress)
        if left is not None:
            end_overwriting(database, settings, is_of_all=not work.others)
        return summary


def verify_again(database: Path, verification: VerificationOptions, *, progress: bool = False) -> MatchSummary:
    """``match_pairs`` of those that have matches but no two-view geometry, as after their keypoints moved."""
    with MatchStore(database) as store:
        matched = image_pairs(store.done_pairs(verified=False))
    return match_pairs(database, matched, MatchingOptions(device="cpu"), verification, progress=progress)


def match_pairs(
    database: Path, pairs: np.ndarray, options: MatchingOptions, verification: VerificationOptions, *, progress: bool
) -> MatchSummary:
    """``match_some``, and what is skipped is logged."""
    summary = match_some(database, pairs, options, verification, progress=progress)
    for name, reason in summary.skipped.items():
        logger.warning("skipped %s: %s", name, reason)
    return summary


def _warn(store: MatchStore, work: Work, differing: str, overwrites: bool) -> None:
    """Of pairs that are made otherwise than others. differing: how the noted settings differ from those of this run."""
    if differing and not overwrites and len(work.todo) < len(work.asked):
        logger.warning("pairs that are there already were made with %s: --overwrite matches them again", differing)
    if differing and overwrites and work.others:
        logger.warning(
            "kept as made with %s: %s that this run was not asked for", differing, counted(work.others, "pair")
        )
    of_todo = set(np.unique(work.todo).tolist())
    if work.thresholds is not None and (without_factor := sorted(of_todo - work.thresholds.factors.keys())):
        names = store.image_names()
        logger.warning(
            "%s holds no resize factor of %s: there, max_error is in pixels of the photograph",
            store.path,
            first_of([names[image_id] for image_id in without_factor], "image"),
        )


def _tell_of_new(work: Work, later: set[int]) -> None:
    """Of pairs that are new since keypoints were refined. later: ids of the images that came after that."""
    of_later = work.is_new & np.isin(work.todo, list(later)).any(axis=1)
    if of_later.any():
        pairs = counted(np.count_nonzero(of_later), "pair")
        logger.info("d2sfm refine aligns keypoints across the %s of new images", pairs)
    if count := np.count_nonzero(work.is_new & ~of_later):
        logger.warning(
            "keypoints are not aligned across %s matched after the refinement of both images: d2sfm refine --overwrite "
            "aligns all",
            counted(count, "pair"),
        )
