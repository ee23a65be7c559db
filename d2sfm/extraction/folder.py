"""A folder of photographs and its database, on both sides of extraction: what is to be done, cameras, writing."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from d2sfm.coordinates import Size
from d2sfm.database import (
    FeatureStore,
    by_camera_group,
    estimated_cameras,
    given_camera,
    import_photographs,
    outdated_images,
    remove_photographs,
    stopped_overwriting,
)
from d2sfm.extraction.pipeline import reason
from d2sfm.features.fingerprints import difference
from d2sfm.features.record import Features
from d2sfm.options import CameraMode, CameraOptions, DescriptorDtype
from d2sfm.photographs.headers import check_header
from d2sfm.photographs.reading import load_photograph
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

_SHARED_MODES = (CameraMode.SINGLE, CameraMode.PER_FOLDER)


def pending_names(database: Path, names: list[str], fingerprint: str, way_out: str = "") -> list[str]:
    """The names that have no features yet. RuntimeError where the database holds features of another kind.

    way_out: what the caller has for that, in words, beside the same settings and another database.
    """
    extracted = _extracted(database)
    differing = sorted(set(extracted.values()) - {fingerprint})
    if differing:
        raise RuntimeError(
            f"{database} holds features with {difference(differing[0], fingerprint)}, asked for is "
            f"{difference(fingerprint, differing[0])}: use the same settings{way_out} or another database"
        )
    return [name for name in names if name not in extracted]


def names_to_overwrite(database: Path, names: list[str], fingerprint: str) -> list[str]:
    """The names whose features are to be written (anew): all, or those that a stopped run of the fingerprint has left.

    RuntimeError where the database holds features of another extractor, or of other settings for other images, with
    which those of this run would be mixed.
    """
    extracted = _extracted(database)
    others = sorted(name for name in extracted.keys() - set(names) if extracted[name] != fingerprint)
    if others:
        raise RuntimeError(
            f"{database} holds features with {difference(extracted[others[0]], fingerprint)} of "
            f"{first_of(others, 'image')}, not among the {len(names)} photographs to be extracted with "
            f"{difference(fingerprint, extracted[others[0]])}: give a folder that has them all, or another database"
        )
    is_begun = stopped_overwriting(database) == fingerprint
    todo = [name for name in names if not (is_begun and extracted.get(name) == fingerprint)]
    if len(todo) < len(names):
        logger.info("a stopped run with --overwrite goes on: %d photographs are done", len(names) - len(todo))
    return todo


def _extracted(database: Path) -> dict[str, str]:
    """Fingerprints by name. RuntimeError where there are keypoints that d2sfm did not write."""
    with FeatureStore(database) as store:
        other = store.foreign_extractor()
        if other is not None:
            images = store.foreign_images()
            raise RuntimeError(
                f"{database} holds keypoints of {other} for {first_of(images, 'image')}, not of d2sfm: "
                "give D2 features a database of their own"
            )
        return store.extracted()


def import_folder(database: Path, images: Path, names: list[str], cameras: CameraOptions) -> dict[str, str]:
    """Import photographs whose headers are sound, with their cameras. Returns reasons by name of those left out.

    Pixels are looked at only where a photograph would bring the camera that others share: the first whole one does.
    """
    left_out = _misfits(images, names, cameras)
    fitting = [name for name in names if name not in left_out]
    if cameras.camera_mode in _SHARED_MODES:
        left_out |= _broken_firsts(images, fitting, cameras.camera_mode)
    whole = [name for name in fitting if name not in left_out]
    of_shared = f"its size is not that of the camera that --camera-mode {cameras.camera_mode} shares"
    if cameras.existing_camera is not None:
        of_shared = f"its size is not that of camera {cameras.existing_camera}"
    is_shared = cameras.existing_camera is not None or cameras.camera_mode in _SHARED_MODES
    for name in import_photographs(database, images, whole, cameras):
        left_out[name] = of_shared if is_shared else "COLMAP can't import it"
    for count, width, height in estimated_cameras(database) if whole else ():
        logger.warning(
            "%d photographs of %d x %d px have no focal length in EXIF: a camera is estimated for each "
            "(one camera took them all: --camera-mode single)",
            count,
            width,
            height,
        )
    return left_out


def _misfits(images: Path, names: list[str], cameras: CameraOptions) -> dict[str, str]:
    """Reasons by name of the photographs that given parameters can't be of. COLMAP gives them to any size."""
    given = given_camera(cameras)
    if given is None:
        return {}
    x, y = given.principal_point_x, given.principal_point_y
    sizes = {name: check_header(images / name) for name in names}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{count} of {w} x {h} px" for (w, h), count in Counter(sizes.values()).most_common())
        logger.warning("the given camera parameters are those of one size of photographs, there are %s", shown)
    return {
        name: f"is {width} x {height} px, the given camera has its principal point at {x:g}, {y:g}"
        for name, (width, height) in sizes.items()
        if not (0 < x < width and 0 < y < height)
    }


def _broken_firsts(images: Path, names: list[str], mode: CameraMode) -> dict[str, str]:
    """Reasons by name of the broken photographs before the first whole one of those that share a camera."""
    broken = {}
    for members in by_camera_group(names, mode).values():
        for name in members:
            try:
                load_photograph(images / name)
                break
            except (ValueError, OSError) as error:
                broken[name] = reason(error)
    return broken


def remove_replaced(database: Path, images: Path, sizes: Mapping[str, Size]) -> dict[str, str]:
    """Take photographs out of the database whose files have another size by now, to be imported with new cameras.

    sizes: (width, height) by name, of the headers. Broken ones stay: returns reasons by name of these.
    """
    replaced = [name for name, size in camera_sizes(database, list(sizes)).items() if size != sizes[name]]
    broken = {}
    for name in replaced:
        try:
            load_photograph(images / name)
        except (ValueError, OSError) as error:
            broken[name] = reason(error)
    whole = [name for name in replaced if name not in broken]
    if whole:
        logger.warning("another size by now, so that cameras are new: %s", first_of(whole, "photograph"))
    remove_photographs(database, whole)
    return broken


def remove_skipped(database: Path, names: list[str]) -> None:
    """Take photographs that can't be used out of the database, but for those that have features of before."""
    outdated = outdated_images(database)
    kept = [name for name in names if name in outdated]
    if kept:
        what = first_of(kept, "skipped photograph")
        logger.warning("old features stay, which d2sfm match leaves out: those of %s", what)
    remove_photographs(database, [name for name in names if name not in outdated])


def warn_of_replaced(database: Path, images: Path, names: list[str]) -> None:
    """Say which photographs have another size by now than those that their features are of."""
    sizes = camera_sizes(database, names)

    def is_replaced(name: str) -> bool:
        try:
            return check_header(images / name) != sizes[name]
        except (ValueError, OSError):  # its features are there: it is not needed
            return False

    with ThreadPoolExecutor() as pool:
        replaced = [name for name, found in zip(sizes, pool.map(is_replaced, sizes), strict=True) if found]
    if replaced:
        logger.warning(
            "another size than when extracted, --overwrite extracts again: %s", first_of(replaced, "photograph")
        )


def note_folder(database: Path, images: Path) -> None:
    """Keep the folder of the photographs in the database. RuntimeError where it has another one: names are relative."""
    folder = str(images.resolve())
    if folder != folder.encode(errors="replace").decode():
        raise ValueError(f"{folder!r} is not UTF-8, which the names of a database are")
    with FeatureStore(database) as store:
        noted = store.setting("images")
        if noted not in (None, folder) and store.extracted() and Path(noted).is_dir():
            raise RuntimeError(f"{database} holds the photographs of {noted}: give those of {folder} another database")
        store.set_setting("images", folder)


def camera_sizes(database: Path, names: list[str]) -> dict[str, Size]:
    """(width, height) of the cameras of those photographs that are in the database."""
    with FeatureStore(database) as store:
        rows = store.images()
    return {name: (rows[name].width, rows[name].height) for name in names if name in rows}


@contextmanager
def feature_writer(
    database: Path, fingerprint: str, descriptor_dtype: DescriptorDtype
) -> Iterator[Callable[[str, Features], None]]:
    """Opens the database for ``extract_all`` and gives the function that writes the features of one image."""
    with FeatureStore(database) as store:
        yield lambda name, features: store.write(name, features, fingerprint, descriptor_dtype)
