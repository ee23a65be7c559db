"""Matches and two-view geometries of image pairs, into COLMAP's database.

d2sfm match --database db.db [--pairs retrieval]
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from d2sfm.database import FeatureStore, MatchStore, exclusive, require_database
from d2sfm.matching.inputs import ImageCache, in_own_pages
from d2sfm.matching.tasks import PairResult, PairTask, run_pairs
from d2sfm.network.device import resolve_device
from d2sfm.options import MatchingOptions, PairSelectionOptions, VerificationOptions
from d2sfm.pairs import among, in_tiles, write_pairs
from d2sfm.pairs.select import select_pairs
from d2sfm.system import processors

CACHE_BYTES = 1 << 29  # of what is read of images: 50 of them with 10 000 keypoints, descriptors in float16
TILE_IMAGES = 32  # the cache holds them as a rule, so an image is read at most once for each 32 others

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MatchSummary:
    """What a run of ``match_database`` did. Its seconds are those of all threads together."""

    pairs: int  # asked for
    already_there: int  # of these, passed over
    matches: int  # of the pairs of this run
    verified: int | None  # pairs of this run with min_num_inliers or more; None where verification was off
    matching_s: float
    verification_s: float

    def __str__(self) -> str:
        text = f"match: {self.pairs - self.already_there} pairs, {self.matches} matches in {self.matching_s:.1f} s"
        if self.verified is not None:
            text += f", {self.verified} pairs verified in {self.verification_s:.1f} s"
        text += " (all threads)"
        return text + (f", {self.already_there} pairs were there already" if self.already_there else "")


def match_database(
    database: Path | str,
    *,
    options: MatchingOptions | None = None,
    verification: VerificationOptions | None,
    pairs: PairSelectionOptions | None = None,
    write_pairs_to: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    num_threads: int | None = None,
) -> MatchSummary:
    """Match the images of a database in pairs, verify the matches, and write both.

    verification: None leaves two-view geometries out.
    pairs: which images to match, see ``pairs.selection``; write_pairs_to: text file for what that came to.
    num_threads: each matches and verifies a pair (default: one for each processor); the results do not depend on it.

    Pairs that are there already are passed over, with a warning where other options made them; ``overwrite`` makes
    them anew. A pair that has matches but no geometry keeps its matches and is only verified. Each pair is written
    whole, so a stopped run goes on where it was. Images that have no features yet are left out with a warning.
    A pair's max_error is multiplied by the larger resize factor of its images, where d2sfm extracted them. Where the
    keypoints are refined it is refinement's.

    Raises FileNotFoundError for a missing file, ValueError for a bad pairs file or device, and RuntimeError where the
    database is none or in use, has fewer than two images with features, has descriptors that are not D2-Net's, or
    lacks what the pairs are chosen by.
    """
    database, options = Path(database), options or MatchingOptions()
    device = resolve_device(options.device)
    require_database(database)
    with exclusive(database):
        with FeatureStore(database) as features:
            factors = features.resize_factors()
            settings = asdict(options) | (asdict(verification) if verification else {})
            del settings["device"]  # it does not change the result
            verification = of_refined(features, verification)
            is_refined = bool(features.notes.refinement())
        with MatchStore(database) as store:
            asked = select_pairs(store, pairs or PairSelectionOptions())
            if write_pairs_to is not None:
                write_pairs(write_pairs_to, asked, store.image_names())
            there = store.done_pairs(verified=False)
            done = set() if overwrite else store.done_pairs(verified=verification is not None)
        todo = in_tiles(asked[~among(asked, done)], TILE_IMAGES)
        is_there = among(todo, there)
        others = len(there) - np.count_nonzero(among(asked, there))
        with FeatureStore(database) as features:
            differing = note_settings(features, settings)
        if differing and not overwrite and len(todo) < len(asked):
            logger.warning("pairs that are there already were made with %s: --overwrite makes them anew", differing)
        if differing and overwrite and others:
            logger.warning("%d pairs that were not asked for stay, made with %s", others, differing)
        if is_refined and not is_there.all():
            logger.warning(
                "%d pairs are new since the keypoints were refined, and these are not aligned across them: "
                "d2sfm refine --restore, then d2sfm refine, aligns all",
                np.count_nonzero(~is_there),
            )
        with MatchStore(database) as store:
            if verification is not None:
                _warn_of_missing_factors(store, todo, factors)
            keeps_matches = np.zeros_like(is_there) if overwrite else is_there
            tasks = _tasks(store, todo, keeps_matches, device, None if verification is None else factors)
            totals = _run(store, tasks, len(todo), options, verification, num_threads, progress)
        if overwrite and not others:  # only now, as a stopped run leaves pairs of the settings that are noted
            with FeatureStore(database) as features:
                features.notes.note_match_settings(settings)
        return MatchSummary(pairs=len(asked), already_there=len(asked) - len(todo), **totals)


def of_refined(features: FeatureStore, verification: VerificationOptions | None) -> VerificationOptions | None:
    """The options of verification with refinement's threshold, where the keypoints are refined.

    Raises RuntimeError where some are not: they are pixels off, so no threshold fits both.
    """
    refinement = features.notes.refinement()
    if not refinement or verification is None:
        return verification
    new = features.unrefined()
    if new:
        raise RuntimeError(
            f"{features.path} has {len(new)} images, {new[0]} the first, that came after refinement: "
            "run d2sfm refine --restore, then match, then refine"
        )
    is_default = verification.max_error == VerificationOptions().max_error
    logger.log(
        logging.INFO if is_default else logging.WARNING,
        "keypoints are refined: pairs are verified within %g px, as d2sfm refine does",
        refinement["max_error"],
    )
    return replace(verification, max_error=refinement["max_error"])


def verify_again(database: Path, verification: VerificationOptions, *, progress: bool = False) -> MatchSummary:
    """Verify the pairs that have matches but no two-view geometry, as after their keypoints moved.

    The caller keeps other runs away (``exclusive``). Raises RuntimeError where the file can't be written.
    """
    with FeatureStore(database) as features:
        factors = features.resize_factors()
    with MatchStore(database) as store:
        matched = np.array(sorted(store.done_pairs(verified=False)), np.uint32).reshape(-1, 2)
        todo = matched[~among(matched, store.done_pairs(verified=True))]
        todo = in_tiles(todo, TILE_IMAGES)
        tasks = _tasks(store, todo, np.ones(len(todo), bool), torch.device("cpu"), factors)
        totals = _run(store, tasks, len(todo), MatchingOptions(), verification, None, progress)
        return MatchSummary(pairs=len(matched), already_there=len(matched) - len(todo), **totals)


def _run(
    store: MatchStore,
    tasks: Iterable[PairTask],
    count: int,
    options: MatchingOptions,
    verification: VerificationOptions | None,
    num_threads: int | None,
    progress: bool,
) -> dict[str, int | float | None]:
    """Carry out and write the tasks. Returns totals for the summary."""
    results = run_pairs(tasks, options, verification, num_threads or processors())
    with (
        closing(results),  # stops the threads when an exception or Ctrl-C ends the loop
        tqdm(total=count, desc="match", unit="pair", disable=not progress) as bar,
    ):
        return _write(store, results, verification, bar)


def _warn_of_missing_factors(store: MatchStore, pairs: np.ndarray, factors: dict[int, float]) -> None:
    missing = sorted(set(np.unique(pairs).tolist()) - factors.keys())
    if missing:
        logger.warning(
            "%s holds no resize factor of %d images, %s the first: for them, max_error is in pixels of the photograph",
            store.path,
            len(missing),
            store.image_names()[missing[0]],
        )


def _tasks(
    store: MatchStore, pairs: np.ndarray, matched: np.ndarray, device: torch.device, factors: dict[int, float] | None
) -> Iterator[PairTask]:
    """What is to be done for each pair. matched: [P] bool, the pairs that keep the matches which the database has.

    factors: resize factors of the images where the pairs are to be verified, else None.
    """
    cache, names = ImageCache(store, device, CACHE_BYTES), store.image_names()
    latest, descriptors_b = None, None
    for (a, b), keeps_matches in zip(map(np.ndarray.tolist, pairs), matched, strict=True):
        task = PairTask(pair=(a, b), names=(names[a], names[b]))
        if keeps_matches:
            task = replace(task, matches=store.matches(a, b))
        else:
            if b != latest:  # pairs that follow each other share it as a rule: on a CPU, it is cast for all of them
                latest, descriptors_b = b, cache.descriptors(b)
                if device.type == "cpu":
                    descriptors_b = in_own_pages(descriptors_b, torch.float32)
            task = replace(task, descriptors=(cache.descriptors(a), descriptors_b))
        if factors is not None:
            factor = max(factors.get(a, 1.0), factors.get(b, 1.0))
            task = replace(task, views=(cache.view(a), cache.view(b)), resize_factor=factor)
        yield task


def note_settings(features: FeatureStore, settings: dict[str, object]) -> str:
    """Keep the settings of the first run with the pairs, and say in words how this run's differ from them.

    The words are empty where nothing differs, or there are no pairs yet.
    """
    noted = features.notes.match_settings() if features.has_pairs() else {}
    if settings.keys() - noted.keys():
        features.notes.note_match_settings(settings | noted)
    changed = {name: value for name, value in settings.items() if noted.get(name, value) != value}
    return ", ".join(f"{name} {noted[name]} (now {value})" for name, value in changed.items())


def _write(
    store: MatchStore, results: Iterable[PairResult], verification: VerificationOptions | None, bar: tqdm
) -> dict[str, int | float | None]:
    """Write each pair as it comes. Returns totals for the summary."""
    matches, verified, matching_s, verification_s = 0, 0, 0.0, 0.0
    for result in results:
        store.write(*result.pair, result.matches, result.geometry)
        matches += len(result.matches)
        matching_s += result.matching_s
        verification_s += result.verification_s
        if verification is not None:
            verified += len(result.geometry.inlier_matches) >= verification.min_num_inliers
        bar.update()
    return {
        "matches": matches,
        "verified": None if verification is None else verified,
        "matching_s": matching_s,
        "verification_s": verification_s,
    }
