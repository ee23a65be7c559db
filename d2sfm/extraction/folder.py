"""A folder of photographs and its database, before and after extraction: cameras, writing, removal."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pycolmap

from d2sfm.database import (
    FeatureStore,
    Note,
    apply_rig_config,
    by_camera_group,
    by_rule,
    camera_rules,
    create_database,
    estimated_cameras,
    given_camera,
    import_photographs,
    outdated_images,
    read_rigs,
    remove_photographs,
    require_camera,
)
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import with_stretch
from d2sfm.features.record import Features
from d2sfm.options import CameraMode, CameraOptions, Stretch
from d2sfm.photographs.photograph import Photograph
from d2sfm.photographs.reading import load_photograph
from d2sfm.skipped import Skipped
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

_SHARED_MODES = (CameraMode.SINGLE, CameraMode.PER_FOLDER)


def check_size(extractor: Extractor, photograph: Photograph) -> None:
    """Raise ValueError if the network can't take a photograph of this size."""
    extractor.check_size(photograph.upright_size)


def check_cameras(cameras: CameraOptions, names: list[str]) -> None:
    """Raise as ``camera_rules``; warn of tables in the file of cameras that match no photograph."""
    for rule, members in by_rule(cameras, names):
        if rule.pattern is not None and not members:
            logger.warning(
                '%s: no photograph matches ["%s"], or all that do match an earlier table', cameras.cameras, rule.pattern
            )


def open_database(database: Path, cameras: CameraOptions) -> None:
    """``create_database``, or, if photographs get an existing camera, ``require_camera``, whose errors it raises."""
    for rule in camera_rules(cameras):
        if rule.options.existing_camera is not None:
            require_camera(database, rule.options.existing_camera)
    create_database(database)


def import_folder(
    database: Path, images: Path, photographs: list[Photograph], cameras: CameraOptions, skipped: Skipped
) -> list[Photograph]:
    """Import photographs below ``images`` whose headers are sound, with their cameras; what is left out is skipped.

    Returns the others, in the size of their cameras. Pixels are read only to find the first undamaged photograph of a
    shared camera, which defines the camera. Rigs are then made of all images of the database.
    """
    with FeatureStore(database) as features:
        if features.notes.read(Note.CAMERAS) is None and not features.images():
            features.notes.write(Note.CAMERAS, described(cameras))
    named, options_of = {photograph.name: photograph for photograph in photographs}, {}
    for rule, names in by_rule(cameras, named):
        of_rule = [named[name] for name in names]
        _skip_misfits(of_rule, rule.options, skipped)
        if rule.options.camera_mode in _SHARED_MODES:
            whole = [each for each in of_rule if each.name not in skipped]
            _skip_broken_firsts(whole, rule.options.camera_mode, skipped)
        options_of |= dict.fromkeys(names, rule.options)
    whole = [photograph for photograph in photographs if photograph.name not in skipped]
    there = _as_stored(database, whole)
    for name in import_photographs(database, images, [photograph.name for photograph in whole], cameras):
        skipped[name] = _not_imported(options_of[name])
    if cameras.rig_config is not None:
        apply_rig_config(database, cameras.rig_config)
    elif len(there) < len(whole) and any(rig.non_ref_sensors for rig in read_rigs(database).values()):
        logger.warning(
            "%s has rigs of several cameras, but new photographs are not part of them: --rig-config defines the rigs "
            "of all photographs",
            database,
        )
    for count_and_size in estimated_cameras(database) if whole else ():
        logger.warning(
            "%d photographs of %d x %d px have no focal length in EXIF: each gets a camera of its own (if one camera "
            "took all: --camera-mode single)",
            *count_and_size,
        )
    return _as_stored(database, [photograph for photograph in whole if photograph.name not in skipped])


def described(cameras: CameraOptions) -> str:
    """The options that decide cameras, as text: those of a file are what it holds, wherever it lies."""
    rules = "" if cameras.cameras is None else f" {cameras.cameras.read_text(encoding='utf-8')}"
    return f"{replace(cameras, cameras=None, rig_config=None)}{rules}"


def _not_imported(cameras: CameraOptions) -> str:
    """Why COLMAP did not take a photograph."""
    if cameras.existing_camera is not None:
        return f"its size differs from that of camera {cameras.existing_camera}"
    if cameras.camera_mode in _SHARED_MODES:
        return f"its size differs from that of the camera shared by --camera-mode {cameras.camera_mode}"
    return "COLMAP can't import it"


def _skip_misfits(photographs: list[Photograph], cameras: CameraOptions, skipped: Skipped) -> None:
    """Skip photographs that the given parameters do not fit. COLMAP applies them to any size."""
    given = given_camera(cameras)
    if given is None:
        return
    sizes = Counter(photograph.size for photograph in photographs)
    if len(sizes) > 1:
        shown = ", ".join(f"{count} of {w} x {h} px" for (w, h), count in sizes.most_common())
        logger.warning(
            "the given camera parameters are for photographs of one size, others are skipped: found %s", shown
        )
    for photograph in photographs:
        width, height = photograph.size
        if reason := _misfit(given, width, height):
            skipped[photograph.name] = f"is {width} x {height} px, the given camera {reason}"


def _misfit(given: pycolmap.Camera, width: int, height: int) -> str | None:
    """Why the camera does not fit photographs of that size; None if it does."""
    if not len(given.principal_point_idxs()):  # a panorama: its parameters are its size
        return None if given.params.tolist() == [width, height] else "is of {:g} x {:g} px".format(*given.params)
    x, y = given.principal_point_x, given.principal_point_y
    return None if 0 < x < width and 0 < y < height else f"has its principal point at {x:g}, {y:g}"


def _skip_broken_firsts(photographs: list[Photograph], mode: CameraMode, skipped: Skipped) -> None:
    """Skip damaged photographs before the first whole one of each shared camera."""
    by_name = {photograph.name: photograph for photograph in photographs}
    for members in by_camera_group(list(by_name), mode).values():
        for name in members:
            with skipped.catching(name):
                load_photograph(by_name[name].path, by_name[name].size)
                break


def remove_replaced(database: Path, photographs: list[Photograph], skipped: Skipped) -> list[Photograph]:
    """Remove photographs from the database whose files have changed size, to be imported with new cameras.

    Damaged ones stay, and are skipped. Returns the others.
    """
    whole = []
    for photograph in _replaced(database, photographs):
        with skipped.catching(photograph.name):
            load_photograph(photograph.path, photograph.size)
            whole.append(photograph.name)
    if whole:
        logger.warning("new cameras, as the size has changed: %s", first_of(whole, "photograph"))
    remove_photographs(database, whole)
    return [photograph for photograph in photographs if photograph.name not in skipped]


def remove_skipped(database: Path, names: list[str]) -> None:
    """Take photographs that can't be used out of the database, unless they already have features."""
    outdated = outdated_images(database)
    kept = [name for name in names if name in outdated]
    if kept:
        what = first_of(kept, "skipped photograph")
        logger.warning("the old features stay, but d2sfm match ignores them: %s", what)
    remove_photographs(database, [name for name in names if name not in outdated])


def warn_of_replaced(database: Path, photographs: list[Photograph]) -> None:
    """Warn of photographs whose size has changed since their features were extracted."""
    replaced = [photograph.name for photograph in _replaced(database, photographs)]
    if replaced:
        logger.warning(
            "of another size than when extracted (--overwrite extracts again): %s", first_of(replaced, "photograph")
        )


def _replaced(database: Path, photographs: list[Photograph]) -> list[Photograph]:
    """The photographs whose size differs from that of their cameras in the database."""
    stored = {photograph.name: photograph.size for photograph in _as_stored(database, photographs)}
    return [photograph for photograph in photographs if stored.get(photograph.name, photograph.size) != photograph.size]


def _as_stored(database: Path, photographs: list[Photograph]) -> list[Photograph]:
    """The photographs that the database holds, in the size of their cameras."""
    with FeatureStore(database) as store:
        rows = store.images()
    return [
        replace(photograph, size=(rows[photograph.name].width, rows[photograph.name].height))
        for photograph in photographs
        if photograph.name in rows
    ]


@contextmanager
def feature_writer(database: Path, fingerprint: str, stretch: Stretch) -> Iterator[Callable[[str, Features], None]]:
    """Opens the database for ``extract_all`` and gives the function that writes the features of one image."""
    with FeatureStore(database) as store:
        yield lambda name, features: store.write(
            name, features, with_stretch(fingerprint, stretch, features.grey_range)
        )
