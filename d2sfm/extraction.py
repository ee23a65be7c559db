"""Features of a folder into COLMAP's database, or of a list of photographs into files beside them.

d2sfm extract --database db.db --images photos
d2sfm extract --image-list images.txt --output-type npz
"""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from d2sfm.database import (
    FeatureStore,
    check_camera_options,
    create_database,
    estimated_cameras,
    exclusive,
    import_photographs,
    remove_photographs,
)
from d2sfm.extractor import Extractor, level_sizes
from d2sfm.feature_files import read_fingerprint, write_features
from d2sfm.images import check_photograph, list_photographs, read_photograph
from d2sfm.network import MIN_EDGE_PX
from d2sfm.options import CameraMode, CameraOptions, DescriptorDtype, ExtractionOptions, StorageOptions

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ExtractionSummary:
    """What a run did; ``skipped`` holds the reason for each photograph that could not be used."""

    extracted: int = 0
    already_there: int = 0
    keypoints: int = 0
    without_keypoints: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        text = f"extract: {self.extracted} photographs, {self.keypoints} keypoints in {self.seconds:.1f} s"
        text += f", {self.already_there} were there already" if self.already_there else ""
        text += f", {len(self.without_keypoints)} without any keypoint" if self.without_keypoints else ""
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")


def extract_to_database(
    database: Path,
    images: Path,
    *,
    options: ExtractionOptions | None = None,
    cameras: CameraOptions | None = None,
    storage: StorageOptions | None = None,
    progress: bool = False,
) -> ExtractionSummary:
    """Import every photograph below the folder ``images`` as COLMAP would and write its features to the database.

    Creates the database where there is none; photographs that have features already are passed over; what can't be
    used is named in the summary and leaves no row behind. ``progress`` shows a bar.

    Raises FileNotFoundError or ValueError for a folder that is missing or empty, RuntimeError where the database holds
    features of another extractor or of other settings, or is none.
    """
    started = time.perf_counter()
    images, cameras = Path(images), cameras or CameraOptions()
    dtype = (storage or StorageOptions()).descriptor_dtype or DescriptorDtype.FLOAT16
    names = list_photographs(images)
    if not names:
        raise ValueError(f"{images} holds no photographs")
    check_camera_options(cameras)
    extractor = Extractor(options)
    with exclusive(database):
        create_database(database)
        pending = _pending(database, names, extractor.fingerprint)
        _note_folder(database, images)  # after the other refusals: what is refused stays as it was
        summary = ExtractionSummary()
        summary.already_there = len(names) - len(pending)
        usable = _check(images, pending, extractor, summary)
        if usable:
            _import(database, images, usable, cameras, summary)
        if summary.already_there and cameras != CameraOptions():
            logger.warning("photographs that are in the database already keep their cameras: give others a new one")
        imported = [name for name in usable if name not in summary.skipped]
        _extract(database, images, imported, extractor, dtype, summary, progress)
        remove_photographs(database, list(summary.skipped))
        summary.seconds = time.perf_counter() - started
    return summary


def _pending(database: Path, names: list[str], fingerprint: str) -> list[str]:
    """The names that have no features yet. RuntimeError where the database holds features of another kind."""
    with FeatureStore(database) as store:
        other = store.foreign_extractor()
        if other is not None:
            images = store.foreign_images()
            raise RuntimeError(
                f"{database} holds keypoints of {other} for {len(images)} images, {images[0]} the first, not of d2sfm: "
                "give D2 features a database of their own"
            )
        extracted = store.extracted()
    differing = sorted(set(extracted.values()) - {fingerprint})
    if differing:
        raise RuntimeError(
            f"{database} holds features with {_difference(differing[0], fingerprint)}, asked for is "
            f"{_difference(fingerprint, differing[0])}: use the same settings or another database"
        )
    return [name for name in names if name not in extracted]


def _difference(fingerprint: str, other: str) -> str:
    """The settings of a fingerprint that the other does not share, as 'name value, name value'."""
    settings, others = json.loads(fingerprint), json.loads(other)
    return ", ".join(f"{key} {value}" for key, value in settings.items() if others.get(key) != value)


def _check(images: Path, names: list[str], extractor: Extractor, summary: ExtractionSummary) -> list[str]:
    """The names whose file can be used; the others enter ``summary.skipped`` with their reason."""

    def reason(name: str) -> str | None:
        try:
            size = extractor.input_size(check_photograph(images / name))
        except (ValueError, OSError) as error:
            return str(error)
        if not level_sizes(size, extractor.options.scales):
            return f"{size[0]} x {size[1]} px at the network's input, which needs {MIN_EDGE_PX} px on both edges"
        return None

    # Before the import: COLMAP takes truncated files, and a row is harder to remove than not to make.
    with ThreadPoolExecutor() as pool:
        reasons = dict(zip(names, pool.map(reason, names), strict=True))
    summary.skipped |= {name: text for name, text in reasons.items() if text is not None}
    return [name for name in names if reasons[name] is None]


def _import(database: Path, images: Path, names: list[str], cameras: CameraOptions, summary: ExtractionSummary) -> None:
    shared = cameras.camera_mode in (CameraMode.SINGLE, CameraMode.PER_FOLDER)
    for name in import_photographs(database, images, names, cameras):
        of_shared = f"its size is not that of the camera that --camera-mode {cameras.camera_mode} shares"
        summary.skipped[name] = of_shared if shared else "COLMAP can't import it"
    for count, width, height in estimated_cameras(database):
        logger.warning(
            "%d photographs of %d x %d px have no focal length in EXIF: a camera is estimated for each "
            "(one camera took them all: --camera-mode single)",
            count,
            width,
            height,
        )


def _note_folder(database: Path, images: Path) -> None:
    """Keep the folder of the photographs in the database. RuntimeError where it has another one: names are relative."""
    folder = str(images.resolve())
    if folder != folder.encode(errors="replace").decode():
        raise ValueError(f"{folder!r} is not UTF-8, which the names of a database are")
    with FeatureStore(database) as store:
        noted = store.setting("images")
        if noted not in (None, folder) and store.extracted() and Path(noted).is_dir():
            raise RuntimeError(f"{database} holds the photographs of {noted}: give those of {folder} another database")
        store.set_setting("images", folder)


def _extract(
    database: Path,
    images: Path,
    names: list[str],
    extractor: Extractor,
    dtype: DescriptorDtype,
    summary: ExtractionSummary,
    progress: bool,
) -> None:
    with FeatureStore(database) as store:
        rows = store.images()
        for name in tqdm(names, desc="extract", unit="image", disable=not progress):
            try:
                image = read_photograph(images / name)
            except (ValueError, OSError) as error:  # the file changed since it was checked
                summary.skipped[name] = str(error)
                continue
            found, expected = (image.shape[1], image.shape[0]), (rows[name].width, rows[name].height)
            if found != expected:
                summary.skipped[name] = f"is {found[0]} x {found[1]} px, its camera {expected[0]} x {expected[1]} px"
                continue
            features = extractor.extract(image)
            store.write(name, features, extractor.fingerprint, dtype)
            _count(summary, name, len(features))


def _count(summary: ExtractionSummary, name: str, keypoints: int) -> None:
    summary.extracted += 1
    summary.keypoints += keypoints
    if keypoints == 0:
        summary.without_keypoints.append(name)


def extract_to_files(
    image_list: Path,
    *,
    options: ExtractionOptions | None = None,
    storage: StorageOptions | None = None,
    progress: bool = False,
) -> ExtractionSummary:
    """Write a feature file beside each photograph of a list, as the published tool does.

    image_list: a text file with a path in each line, relative to the current directory. A photograph whose file holds
    features of the same settings is passed over; a file with others is replaced.

    Raises FileNotFoundError or ValueError for a list that is missing, empty or no text.
    """
    started = time.perf_counter()
    storage = storage or StorageOptions()
    dtype = storage.descriptor_dtype or DescriptorDtype.FLOAT32
    photographs = read_image_list(image_list)
    extractor = Extractor(options)
    stored_as = {"output_type": storage.output_type, "descriptor_dtype": dtype}
    fingerprint = json.dumps(json.loads(extractor.fingerprint) | stored_as)
    summary = ExtractionSummary()
    for photograph in tqdm(photographs, desc="extract", unit="image", disable=not progress):
        target = Path(photograph + storage.output_extension)
        try:
            if target.exists() and read_fingerprint(target) == fingerprint:
                summary.already_there += 1
                continue
            features = extractor.extract(photograph)
            write_features(target, features, storage.output_type, dtype, fingerprint)
        except (ValueError, OSError) as error:
            summary.skipped[photograph] = getattr(error, "strerror", None) or str(error)
            continue
        _count(summary, photograph, len(features))
    summary.seconds = time.perf_counter() - started
    return summary


def read_image_list(path: Path) -> list[str]:
    """The paths in a text file, one a line, in order and each once; blank lines are passed over."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image list at {path}")
    try:
        # Not splitlines: names may hold what Unicode counts as line ends. utf-8-sig: editors put a mark in front.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file") from error
    photographs = list(dict.fromkeys(line for line in lines if line.strip()))
    if not photographs:
        raise ValueError(f"{path} names no photographs")
    return photographs
