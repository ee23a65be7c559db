"""Keypoints of a matched database made exact, between match and reconstruct.

d2sfm refine --database db.db --images dir
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from d2sfm.database import FeatureStore, Note, RefinementStore, exclusive, require_not_bridged, require_own_features
from d2sfm.matching.match import verify_again
from d2sfm.matching.settings import IS_EXACT, LIMIT, noted_thresholds
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.options import MapCacheOptions, RefinementOptions, VerificationOptions
from d2sfm.photographs.photograph import missing_photographs
from d2sfm.refinement.exactness import MAX_ERROR, exact_limit_px
from d2sfm.refinement.one_round import Alignment, Read, Run, align_tracks, read_stages
from d2sfm.refinement.stages import of_alignment, other_options
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

IS_GIVEN = "is_given"  # in the note, where an option set max_error: pixels of the photographs are not looked for then


def refine_database(
    database: Path | str,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: MapCacheOptions | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RefinementSummary:
    """Move the keypoints of verified matches so that they show the same point of the scene, and verify all pairs again.

    Pairs are verified within options.max_error, in pixels of the network's input, and else as matching did. The default
    is what ``exactness`` finds: that, or pixels of the photographs where keypoints are exact enough for them.

    images: the folder of the photographs (default: the one that extraction recorded). cache: the folder that early
    feature maps are read from and written to, and how much of them is kept (default: the last 2 GB, in memory).

    The original keypoints stay in the database, see ``restore_database``. A stopped run continues, as long as matches
    and options are the same. Where keypoints are refined already, rounds that are left are made, and pairs without
    geometry are verified, or all pairs if max_error or seed are others.

    Keypoints of images that were added since, and that have verified pairs, are aligned once with the tracks that are
    there. All other keypoints, and pairs of other images, stay to the bit. overwrite: restore all keypoints, and align
    all again; a stopped run continues.

    Raises FileNotFoundError if the database or the folder is missing, RuntimeError if the file is no database or in
    use, holds keypoints of others only, no verified pairs or was refined otherwise, and ValueError for photographs that
    can't be read any more.
    """
    run, summary = Run.of(database, images, options, cache, progress), RefinementSummary()
    with exclusive(database):
        verification = begin(run, overwrite)
        for alignment in alignments(run, verification, summary):
            finish(run, alignment, read_stages(run, alignment.new), verification, summary)
    return summary


def begin(run: Run, overwrite: bool = False) -> VerificationOptions:
    """How pairs are verified afterwards. Raises RuntimeError if the database can't be refined."""
    require_not_bridged(run.database, "refine")
    require_own_features(run.database, "refine")
    noted = VerificationOptions(**_noted_verification(run.database))
    if overwrite:
        _begin_overwriting(run, noted)
    return replace(noted, seed=run.options.seed)


def alignments(run: Run, verification: VerificationOptions, summary: RefinementSummary) -> Iterator[Alignment]:
    """What is to be aligned, one after the other, each when the one before is finished. Pairs that a stopped run has
    left are verified first."""
    done = _rounds_done(run.database, run.options)
    if done:
        _verify(run, verification, summary)
    warn_of_unfinished(run.database, "the alignment")
    if done and (new := _new_images(run)):
        with FeatureStore(run.database) as features:
            note = features.notes.refinement()
        yield Alignment(note, new)
    for rounds in range(done + 1, run.options.rounds + 1):
        yield Alignment(_note(run.options, rounds))
    with RefinementStore(run.database) as store:
        store.notes.remove(Note.REFINING_ANEW)


def finish(
    run: Run, alignment: Alignment, read: Read, verification: VerificationOptions, summary: RefinementSummary
) -> None:
    """Align what is not done yet, write it, and verify the pairs."""
    align_tracks(run, alignment, read, summary)
    _verify(run, verification, summary)


def _begin_overwriting(run: Run, noted: VerificationOptions) -> None:
    """Restore the original keypoints, unless a stopped run of the same options did, and verify their pairs."""
    asked = json.dumps(_note(run.options, run.options.rounds), sort_keys=True)
    with RefinementStore(run.database) as store:
        if store.notes.read(Note.REFINING_ANEW) != asked:
            store.restore()
            store.notes.write(Note.REFINING_ANEW, asked)
        is_restored = not store.notes.refinement()
    if is_restored:
        verify_again(run.database, noted, progress=run.progress)


def _new_images(run: Run) -> frozenset[int]:
    """Ids of ``new_images``, with a line in the log about others that are not refined."""
    with FeatureStore(run.database) as features:
        later = features.later()
    new, lacking = new_images(run.database, run.images)
    if alone := later.keys() - new.keys() - set(lacking):
        logger.warning(
            "not refined, as it is in no verified pair: %s (d2sfm match verifies the pairs of new images)",
            first_of(sorted(alone), "image"),
        )
    if lacking and not new:  # else missing photographs are named when the others are read
        logger.warning("%s", told_of_lacking(lacking))
    return frozenset(new.values())


def new_images(database: Path | str, images: Path | str | None) -> tuple[dict[str, int], list[str]]:
    """Ids by name of the images with verified pairs that came after the others were refined, or whose photographs were
    missing then, and the names of those that stay so, as a photograph of each of their pairs is missing.

    images: the folder of the photographs. Raises FileNotFoundError without it, RuntimeError if it lacks most of them.
    """
    with FeatureStore(database) as features:
        later = features.later_in_pairs()
        if not later:
            return {}, []
        missing = missing_photographs(features.notes.find_images_folder(images), features.extracted())
        new = features.later_in_pairs(without=missing)
    return new, [name for name in later if name not in new]


def told_of_lacking(names: list[str]) -> str:
    """Why images are not refined, the second result of ``new_images``."""
    return (
        f"not refined, as a photograph of each of its verified pairs is missing: {first_of(names, 'image')} (d2sfm "
        "refine aligns its keypoints when the photographs are there again)"
    )


def restore_database(database: Path | str, *, progress: bool = False) -> int:
    """Put back the keypoints that extraction found, verify their pairs as match did, and return the number of images.

    Raises as ``refine_database`` does.
    """
    database = Path(database)
    with exclusive(database):
        with RefinementStore(database) as store:
            restored = store.restore()
            store.notes.remove(Note.REFINING_ANEW)
        noted = _noted_verification(database)
        if restored or noted:  # the latter also where a run that restored was stopped before it verified
            verify_again(database, VerificationOptions(**noted), progress=progress)
    return restored


def _noted_verification(database: Path) -> dict[str, int | float]:
    """The options of verification that d2sfm's matching noted, by name; none where the pairs are not its own."""
    with FeatureStore(database) as features:
        noted = features.notes.match_settings()
    return {name: noted[name] for name in asdict(VerificationOptions()).keys() & noted.keys()}


def _rounds_done(database: Path, options: RefinementOptions) -> int:
    """How many rounds of alignment there were. Where pairs are to be verified otherwise, geometries are removed."""
    with FeatureStore(database) as features:
        note = features.notes.refinement()
    if not note:
        return 0
    done = note.get("rounds", 1)
    if others := other_options(note, options):
        raise RuntimeError(
            f"{database} was refined with {others}: d2sfm refine --overwrite aligns all again, or continue without "
            "refining"
        )
    if done > options.rounds:
        raise RuntimeError(
            f"{database} was refined in {done} rounds: give --rounds {done}, or --overwrite to align all again"
        )
    expected = _note(options, done)
    if options.max_error is None:  # found by a run before
        expected |= {name: note[name] for name in (LIMIT, IS_EXACT) if name in note}
    if note | of_alignment(note) != expected:
        with RefinementStore(database) as store:
            store.verify_otherwise(_note(options, done))
    return done


def noted_options(note: Mapping[str, Any], options: RefinementOptions | None = None) -> RefinementOptions:
    """The options of the run of refinement that wrote this note, those that it does not tell from ``options``."""
    given = note | of_alignment(note)
    if given.get("max_error") == MAX_ERROR and not given.get(IS_GIVEN):
        given["max_error"] = None
    names = {each.name for each in fields(RefinementOptions)} & given.keys()
    return replace(options or RefinementOptions(), **{name: given[name] for name in names})


def _note(options: RefinementOptions, rounds: int) -> dict:
    """The options that decide positions and geometries after a number of rounds."""
    noted = of_alignment(asdict(options)) | {"max_error": MAX_ERROR, "seed": options.seed, "rounds": rounds}
    return noted if options.max_error is None else noted | {"max_error": options.max_error, IS_GIVEN: True}


def _verify(run: Run, verification: VerificationOptions, summary: RefinementSummary) -> None:
    """Verify the pairs that have no geometry, then all within fewer pixels where their keypoints are so exact."""
    started = time.perf_counter()
    found = verify_again(run.database, verification, progress=run.progress)
    with FeatureStore(run.database) as features:
        note = features.notes.refinement()
    # Looked for once: of more images it might be another, and their pairs stay as they are where others come.
    if run.options.max_error is None and not {LIMIT, IS_EXACT} & note.keys():
        limit_px = exact_limit_px(run.database, verification)
        with RefinementStore(run.database) as store:
            if limit_px is None:
                store.notes.note_refinement(note | {IS_EXACT: False})
            else:
                store.verify_otherwise(note | {LIMIT: limit_px})
        if limit_px is not None:
            found = verify_again(run.database, verification, progress=run.progress)
    with FeatureStore(run.database) as features:
        thresholds = noted_thresholds(features)
    summary.threshold, summary.unrefined = thresholds.common, len(thresholds.new)
    summary.threshold_of_unrefined = thresholds.of_new if thresholds.new else None
    summary.verified, summary.pairs, summary.skipped = found.verified, found.pairs, len(found.skipped)
    summary.already_verified = found.already_there
    summary.verification_s += time.perf_counter() - started
