"""Matches of a file imported into a database that has the keypoints, and their verification."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.database import FeatureStore, ForeignStore, MatchStore
from d2sfm.formats.hloc_matches import HlocMatches
from d2sfm.matching.match import verify_again
from d2sfm.matching.settings import note_settings, thresholds_told
from d2sfm.options import VerificationOptions
from d2sfm.pairs.arrays import among
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.text import counted

logger = logging.getLogger(__name__)


class ImportedPairs(NamedTuple):
    """Numbers of pairs with matches from the file, of these matches, and of pairs verified; None if that was off."""

    pairs: int
    matches: int
    verified: int | None


def import_pairs(
    database: Path, path: Path, verification: VerificationOptions | None, skipped: Skipped, progress: bool
) -> ImportedPairs:
    """Import matches of pairs that have none in the database, and verify pairs without a geometry.

    What can't be used is skipped, under the name 'a - b' of the pair or that of the file.
    """
    differing = ""
    with FeatureStore(database) as store:
        if verification is not None:
            differing = note_settings(store, asdict(verification))
        thresholds_told(store, verification)
    pairs, matches = _import_matches(database, path, skipped, progress)
    if differing:
        logger.warning("existing pairs, verified with %s, stay unchanged", differing)
    verified = None
    if verification is not None:
        verified = verify_again(database, verification, progress=progress).verified
    return ImportedPairs(pairs, matches, verified)


def _import_matches(database: Path, path: Path, skipped: Skipped, progress: bool) -> tuple[int, int]:
    """Returns the numbers of pairs and matches."""
    names, number_of_pairs, number_of_matches = _with_keypoints(database), 0, 0
    with HlocMatches(path, names) as source, MatchStore(database) as store:
        ids, continued = store.image_ids(), store.continued()  # of which no file knows
        counts = {name: len(store.keypoints(ids[name])) - continued.get(ids[name], 0) for name in names}
        pairs = source.pairs()
        numbered = np.array([(ids[a], ids[b]) for a, b in pairs], np.uint32).reshape(-1, 2)
        is_there = among(numbered, store.done_pairs(verified=False))
        for number in Bar(np.flatnonzero(~is_there), desc="import", unit="pair", disable=not progress):
            a, b = pairs[number]
            with skipped.catching(f"{a} - {b}"):
                matches, scores = source.read((a, b), (counts[a], counts[b]))
                # Verification sorts by them, so whatever a matcher calls a score will do.
                store.write(ids[a], ids[b], matches, similarities=scores)
                number_of_pairs += 1
                number_of_matches += len(matches)
        if source.unknown and not pairs:
            skipped[str(path)] = (
                f"none of its {counted(source.unknown, 'pair')} is of images with features in {database}"
            )
        elif source.unknown:
            of = f"{counted(source.unknown, 'pair')} of {path}"
            logger.warning("left out: %s, of images without features in %s", of, database)
    return number_of_pairs, number_of_matches


def _with_keypoints(database: Path) -> list[str]:
    """Names of the images whose keypoints matches may refer to: d2sfm's features, or others in a database without
    these."""
    with FeatureStore(database) as store:
        names = list(store.extracted())
    if names:
        return names
    with ForeignStore(database) as store:
        return store.images()
