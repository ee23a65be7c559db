"""Work to do: the photographs of a folder whose features its database lacks or replaces."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from d2sfm.database import FeatureStore, ForeignStore, begin_overwriting, stopped_overwriting
from d2sfm.features.fingerprints import clash, difference, settings_of
from d2sfm.options import ExtractionOptions, Precision
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


def begin(
    database: Path, images: Path, names: list[str], fingerprint: str, overwrite: bool, only: Sequence[str] = ()
) -> list[str]:
    """Note that a run on photographs of the folder ``images`` begins. Returns the names to extract.

    overwrite: whether existing features no longer count. only: the patterns that chose the names; a stopped run with
    ``overwrite`` continues with the same ones. Raises as ``pending_names``, ``names_to_overwrite`` and ``note_folder``;
    then nothing has changed.
    """
    if overwrite:
        pending = names_to_overwrite(database, names, fingerprint, only)
    else:
        pending = pending_names(database, names, fingerprint, ", --overwrite to extract all again, or another database")
    note_folder(database, images)
    if overwrite:
        begin_overwriting(database, names, _run(fingerprint, only))
    return pending


def in_their_precision(database: Path, options: ExtractionOptions, replaced: Collection[str]) -> ExtractionOptions:
    """The options, with auto replaced by the precision of the existing features.

    So a database keeps one precision on any machine. replaced: names whose features are to be written again, which do
    not count.
    """
    database = Path(database)
    if options.precision is not Precision.AUTO or not database.exists() or not database.stat().st_size:
        return options
    with FeatureStore(database) as store:
        return in_precision_of([found for name, found in store.extracted().items() if name not in replaced], options)


def in_precision_of(fingerprints: Collection[str], options: ExtractionOptions) -> ExtractionOptions:
    """The same for features of these fingerprints."""
    if options.precision is not Precision.AUTO:
        return options
    settings = [settings_of(found) for found in fingerprints]
    there = {found["precision"] for found in settings if found.get("precision") in list(Precision)}
    return replace(options, precision=there.pop()) if len(there) == 1 else options


def pending_names(
    database: Path,
    names: list[str],
    fingerprint: str,
    way_out: str = " or another database",
    holder: Path | None = None,
) -> list[str]:
    """The names that have no features yet. Raises as ``require_same_settings`` and ``require_descriptors``.

    holder: the database to name there, where this one is a part of its work.
    """
    extracted = _extracted(database)
    with FeatureStore(database) as store:
        store.require_descriptors()
    require_same_settings(holder or database, extracted.values(), fingerprint, way_out)
    return [name for name in names if name not in extracted]


def require_same_settings(database: Path, there: Collection[str], fingerprint: str, way_out: str) -> None:
    """RuntimeError if the database holds features of another kind. there: their fingerprints.

    way_out: what the user can do beside giving the same settings, in words.
    """
    differing = sorted(found for found in set(there) if clash(found, fingerprint))
    if differing:
        raise RuntimeError(
            f"{database} holds features with {difference(differing[0], fingerprint)}, but this run asks for "
            f"{difference(fingerprint, differing[0])}: use the same settings{way_out}"
        )


def names_to_overwrite(database: Path, names: list[str], fingerprint: str, only: Sequence[str] = ()) -> list[str]:
    """The names whose features are to be written again: all, or those that a stopped run of this fingerprint has left.

    only: the patterns that chose the names; the stopped run had the same ones.

    RuntimeError if this run would mix its features with those of another extractor, or of other settings for other
    images.
    """
    extracted = _extracted(database)
    others = sorted(name for name in extracted.keys() - set(names) if clash(extracted[name], fingerprint))
    if others:
        raise RuntimeError(
            f"{database} holds features with {difference(extracted[others[0]], fingerprint)} of "
            f"{first_of(others, 'image')}, not among the {counted(len(names), 'photograph')} to be extracted with "
            f"{difference(fingerprint, extracted[others[0]])}: extract them all, or into another database"
        )
    is_begun = stopped_overwriting(database) == _run(fingerprint, only)
    todo = [name for name in names if not (is_begun and name in extracted and not clash(extracted[name], fingerprint))]
    if len(todo) < len(names):
        done = counted(len(names) - len(todo), "photograph")
        logger.info("continuing a stopped run with --overwrite: %s done", done)
    return todo


def _run(fingerprint: str, only: Sequence[str]) -> str:
    """What identifies an overwriting run."""
    return f"{fingerprint} of {sorted(only)}" if only else fingerprint


def _extracted(database: Path) -> dict[str, str]:
    """Fingerprints by name. RuntimeError if the database holds keypoints that d2sfm did not write."""
    with ForeignStore(database) as store:
        if (foreign := store.described()) is not None:
            raise RuntimeError(
                f"{database} holds {foreign}, not of d2sfm: extract into another database, or connect photographs that "
                "these leave apart by d2sfm bridge"
            )
    with FeatureStore(database) as store:
        return store.extracted()


def note_folder(database: Path, images: Path) -> None:
    """Keep the folder of the photographs in the database. Raises as ``require_noted_folder``."""
    require_noted_folder(database, images)
    with FeatureStore(database) as store:
        store.notes.note_images_folder(images)


def require_noted_folder(database: Path, images: Path) -> None:
    """RuntimeError if the database has keypoints of the photographs of another folder: names are relative.

    A noted folder that is no longer there does not count: photographs may be moved.
    """
    folder = images.resolve()
    with ForeignStore(database) as store:
        foreign = store.images()
    with FeatureStore(database) as store:
        noted = store.notes.images_folder()
        if noted not in (None, folder) and (store.extracted() or foreign) and noted.is_dir():
            raise RuntimeError(
                f"{database} holds the photographs of {noted}: extract those of {folder} into another database"
            )
