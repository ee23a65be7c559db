"""What stopped runs have left of the pairs of a database, in words for the commands that use these."""

import logging
from pathlib import Path

from d2sfm.database import FeatureStore, MatchStore, pairs_anew

logger = logging.getLogger(__name__)


def warn_of_pairs_anew(database: Path) -> None:
    """Say how many pairs are still to be matched anew, and what to run."""
    left = pairs_anew(database)
    if left is None or not len(left.pending):
        return
    with FeatureStore(database) as features:
        noted = features.notes.match_settings()
    others = ", ".join(f"{name} {value}" for name, value in left.settings.items() if noted.get(name, value) != value)
    logger.warning(
        "%d pairs of %s are still to be matched anew%s: run d2sfm match --overwrite again, with its options",
        len(left.pending),
        database,
        f", with {others}" if others else "",
    )


def warn_of_unfinished(database: Path, part_of: str | None) -> None:
    """Say the same, and how many pairs with matches have no geometry, and so no part in something (None: they have)."""
    warn_of_pairs_anew(database)
    if part_of is None:
        return
    with FeatureStore(database) as features:
        is_refined = bool(features.notes.refinement())
    with MatchStore(database) as store:
        unverified = store.unverified_pairs()
    if unverified:
        logger.warning(
            "%d pairs of %s have matches and no geometry, and so no part in %s: run d2sfm %s again",
            unverified,
            database,
            part_of,
            "refine" if is_refined else "match",
        )
