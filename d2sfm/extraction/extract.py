"""Features of a folder into COLMAP's database, or of a list of photographs into files beside them.

d2sfm extract --database db.db --images photos
d2sfm extract --image-list images.txt --output-type npz
"""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from d2sfm.coordinates import Size
from d2sfm.database import (
    begin_overwriting,
    create_database,
    end_overwriting,
    exclusive,
    given_camera,
    require_camera,
)
from d2sfm.extraction.folder import (
    camera_sizes,
    feature_writer,
    import_folder,
    names_to_overwrite,
    note_folder,
    pending_names,
    remove_replaced,
    remove_skipped,
    warn_of_replaced,
)
from d2sfm.extraction.pipeline import extract_all, reason
from d2sfm.features.extractor import Extractor
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import read_fingerprint, write_features
from d2sfm.network.early_maps import FeatureMaps
from d2sfm.network.input import Prepared
from d2sfm.network.map_cache import MapCache
from d2sfm.network.weights.load import load_weights
from d2sfm.options import MAPS_IN_FOLDER_GB, CameraOptions, DescriptorDtype, ExtractionOptions, StorageOptions
from d2sfm.photographs.headers import check_header
from d2sfm.photographs.masks import Masks
from d2sfm.photographs.reading import list_photographs, load_photograph
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ExtractionSummary:
    """What a run did; ``skipped`` holds the reason for each photograph that could not be used. Names are in order."""

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

    def _close(self, keypoints: dict[str, int], names: list[str], started: float) -> None:
        """Enter what ``extract_all`` returned, and put names in the order of ``names``."""
        self.extracted, self.keypoints = len(keypoints), sum(keypoints.values())
        self.without_keypoints = [name for name in names if keypoints.get(name) == 0]
        self.skipped = {name: self.skipped[name] for name in names if name in self.skipped}
        self.seconds = time.perf_counter() - started


def extract_to_database(
    database: Path,
    images: Path,
    *,
    options: ExtractionOptions | None = None,
    cameras: CameraOptions | None = None,
    storage: StorageOptions | None = None,
    masks: Masks | None = None,
    cache: Path | None = None,
    cache_limit: float = MAPS_IN_FOLDER_GB,
    overwrite: bool = False,
    progress: bool = False,
) -> ExtractionSummary:
    """Import every photograph below the folder ``images`` as COLMAP would and write its features to the database.

    Creates the database where there is none; photographs that have features already are passed over; what can't be
    used is named in the summary and leaves no row behind. masks: what of the photographs is out. cache: folder in
    which the early feature maps are kept for refinement, at most cache_limit GB (1e9 bytes). ``progress`` shows a bar.

    overwrite: extract photographs again that have features, of whatever settings. Features count as none from the start
    of that run, but stay, with the pairs that hang on them, until the new ones are written; where it was stopped, the
    next run goes on. A photograph whose size changed gets a new camera; one that is broken by now keeps what it had.

    Raises FileNotFoundError or ValueError for a folder that is missing or empty, ValueError for a cache without scale
    1, whose maps it holds, RuntimeError where the database holds features of another extractor or of other settings
    (with overwrite: of photographs that are not in the folder), or is none.
    """
    started = time.perf_counter()
    images, cameras = Path(images), cameras or CameraOptions()
    dtype = (storage or StorageOptions()).descriptor_dtype or DescriptorDtype.FLOAT16
    names = list_photographs(images)
    if not names:
        raise ValueError(f"{images} holds no photographs")
    given_camera(cameras)  # raises where it is none
    if cache and 1.0 not in (options or ExtractionOptions()).scales:
        raise ValueError("the feature maps of --cache are those of scale 1, which --scales leaves out")
    masks = masks or Masks()
    masks.check(images, names)
    extractor = Extractor(options)
    fingerprint = json.dumps(json.loads(extractor.fingerprint) | masks.settings)
    with exclusive(database):
        if cameras.existing_camera is not None:
            require_camera(database, cameras.existing_camera)
        create_database(database)
        if overwrite:
            pending = names_to_overwrite(database, names, fingerprint)
        else:
            pending = pending_names(database, names, fingerprint, ", --overwrite to extract all of them again")
        note_folder(database, images)  # after the other refusals: what is refused stays as it was
        if overwrite:
            begin_overwriting(database, names, fingerprint)
        if unmasked := masks.without(pending):
            logger.warning("no mask, so that all pixels are in: %s", first_of(unmasked, "photograph"))
        summary = ExtractionSummary(already_there=len(names) - len(pending))
        sizes = _check_headers({name: images / name for name in pending}, extractor, summary)
        if overwrite:
            summary.skipped |= remove_replaced(database, images, sizes)
        warn_of_replaced(database, images, sorted(set(names) - set(pending)))
        sizes = {name: size for name, size in sizes.items() if name not in summary.skipped}
        if sizes:
            summary.skipped |= import_folder(database, images, list(sizes), cameras)
        if summary.already_there and cameras != CameraOptions():
            logger.warning("photographs that are in the database already keep their cameras: give others a new one")
        try:
            keypoints = extract_all(
                camera_sizes(database, [name for name in sizes if name not in summary.skipped]),
                extractor,
                lambda name: load_photograph(images / name),
                lambda: feature_writer(database, fingerprint, dtype),
                dtype,
                summary.skipped,
                progress,
                _map_keeper(extractor, images, cache, cache_limit) if cache else None,
                masks,
            )
        finally:  # a stopped run, too, leaves nothing behind of what is broken
            remove_skipped(database, list(summary.skipped))
        end_overwriting(database)
        summary._close(keypoints, names, started)
    return summary


def _map_keeper(
    extractor: Extractor, images: Path, folder: Path, limit: float
) -> Callable[[str, Prepared, FeatureMaps], None]:
    options = extractor.options
    weights = load_weights(options.weights, options.preprocessing, options.mirror)
    cache = MapCache(folder, limit * 1e9, weights, extractor.precision, options.preprocessing)
    return lambda name, picture, maps: cache.put(images / name, picture.size, maps)


def _check_headers(paths: dict[str, Path], extractor: Extractor, summary: ExtractionSummary) -> dict[str, Size]:
    """Sizes by name of the photographs that can be used, by their headers; ``summary.skipped`` gets the others.

    Pixels are looked at once, when it is their turn: a large folder starts at once.
    """

    def size_or_reason(path: Path) -> Size | str:
        try:
            size = check_header(path)
            extractor.check_size(size)
        except (ValueError, OSError) as error:
            return reason(error)
        return size

    with ThreadPoolExecutor() as pool:
        found = dict(zip(paths, pool.map(size_or_reason, paths.values()), strict=True))
    summary.skipped |= {name: what for name, what in found.items() if isinstance(what, str)}
    return {name: what for name, what in found.items() if not isinstance(what, str)}


def extract_to_files(
    image_list: Path,
    *,
    options: ExtractionOptions | None = None,
    storage: StorageOptions | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> ExtractionSummary:
    """Write a feature file beside each photograph of a list, as the published tool does.

    image_list: a text file with a path in each line, relative to the current directory. A photograph whose file holds
    features of the same settings is passed over, but with ``overwrite``; a file with others is replaced.

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
    pending = {
        name: Path(name) for name in photographs if overwrite or not _has_features(_target(name, storage), fingerprint)
    }
    summary.already_there = len(photographs) - len(pending)

    def write(name: str, features: Features) -> None:
        write_features(_target(name, storage), features, storage.output_type, dtype, fingerprint)

    sizes = _check_headers(pending, extractor, summary)
    keypoints = extract_all(
        sizes, extractor, load_photograph, lambda: nullcontext(write), dtype, summary.skipped, progress
    )
    summary._close(keypoints, photographs, started)
    return summary


def _target(photograph: str, storage: StorageOptions) -> Path:
    return Path(photograph + storage.output_extension)


def _has_features(target: Path, fingerprint: str) -> bool:
    try:
        return target.exists() and read_fingerprint(target) == fingerprint
    except OSError:  # writing will tell why
        return False


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
