"""Features of a folder of photographs into COLMAP's database.

d2sfm extract --database db.db --images photos
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from d2sfm.database import FeatureStore, Note, end_overwriting, exclusive
from d2sfm.extraction.folder import (
    check_cameras,
    check_size,
    described,
    feature_writer,
    import_folder,
    open_database,
    remove_replaced,
    remove_skipped,
    warn_of_replaced,
)
from d2sfm.extraction.pending import begin, in_precision_of, in_their_precision, pending_names, require_same_settings
from d2sfm.extraction.pipeline import OnMaps, extract_all
from d2sfm.extraction.stretch import noted_stretch, stretched
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.extraction.upright import as_extracted, turned, warn_of_turned
from d2sfm.features.extractor import Extractor
from d2sfm.network.map_cache import MapCache
from d2sfm.network.weights.load import load_weights
from d2sfm.options import (
    CameraOptions,
    ExtractionOptions,
    MapCacheOptions,
    MaskOptions,
    PhotographOptions,
    StorageOptions,
)
from d2sfm.photographs.masks import Masks
from d2sfm.photographs.photograph import Photograph, read_headers
from d2sfm.photographs.reading import chosen_photographs, require_photographs
from d2sfm.skipped import Skipped
from d2sfm.text import first_of, is_among

logger = logging.getLogger(__name__)


def extract_to_database(
    database: Path,
    images: Path,
    *,
    options: ExtractionOptions | None = None,
    cameras: CameraOptions | None = None,
    storage: StorageOptions | None = None,
    masks: MaskOptions | None = None,
    cache: MapCacheOptions | None = None,
    limits: PhotographOptions | None = None,
    only: Sequence[str] = (),
    overwrite: bool = False,
    progress: bool = False,
    by: Callable[..., dict[str, int]] = extract_all,
) -> ExtractionSummary:
    """Import every photograph below the folder ``images`` as COLMAP would and write its features to the database.

    Photographs that have features are left out; the summary names what can't be used. cache: where early feature maps
    are kept for refinement. only: patterns (see ``text.fits``) of the photographs to extract. overwrite: also extract
    photographs that have features, see ``database.overwriting``; new sizes get new cameras, damaged photographs keep
    their features. by: what does the work of ``pipeline.extract_all``.

    Raises FileNotFoundError or ValueError for a folder that is missing or empty and options that contradict it or each
    other, RuntimeError if the file is not a COLMAP database, or holds features of another kind that would stay.
    """
    started, skipped = time.perf_counter(), Skipped()
    images, options, cameras = Path(images), options or ExtractionOptions(), cameras or CameraOptions()
    cache, largest = cache or MapCacheOptions(), (limits or PhotographOptions()).max_megapixels
    masks = Masks.of(masks, largest)
    names = _require_inputs(images, only, options, cameras, masks, cache)
    with exclusive(database):
        extractor = _extractor(in_their_precision(database, options, set(names) if overwrite else ()), storage)
        options, fingerprint = extractor.options, masks.noted_in(extractor.fingerprint)
        open_database(database, cameras)
        noted_stretch(database, options.stretch, set(names) if overwrite else ())  # raises where they don't agree
        pending = begin(database, images, names, fingerprint, overwrite, only)
        masks.warn_of_lacking(pending)
        photographs = read_headers(images, pending, skipped, partial(check_size, extractor), largest)
        _warn_of_missing(database, images, names, only)
        photographs = _as_seen(database, images, photographs, sorted(set(names) - set(pending)), options, progress)
        if overwrite:
            photographs = remove_replaced(database, photographs, skipped)
        photographs = _imported(database, images, photographs, cameras, skipped, is_all=len(pending) == len(names))
        try:
            keep, store = _map_keeper(extractor, cache), partial(feature_writer, database, fingerprint, options.stretch)
            found = by(photographs, extractor, store, skipped, on_maps=keep, mask=masks, progress=progress)
        finally:  # a stopped run, too, leaves nothing behind of what is broken
            remove_skipped(database, list(skipped))
        end_overwriting(database)
    return ExtractionSummary.of(names, len(pending), found, skipped, started)


def extract_images(
    database: Path,
    images: Path,
    names: Sequence[str],
    *,
    options: ExtractionOptions,
    cache: MapCacheOptions,
    holder: Path,
    way_out: str,
    progress: bool = False,
) -> Skipped:
    """Write the features that images of the database lack, and return what could not be used.

    names: of photographs in the folder ``images``, in the size of their cameras. holder, way_out: see
    ``pending_names``. The caller keeps other runs away (``exclusive``). Raises RuntimeError if the database holds
    features of other settings.
    """
    skipped, largest = Skipped(), PhotographOptions().max_megapixels
    extractor = _extractor(in_their_precision(database, options, ()), None)
    options, fingerprint = extractor.options, extractor.fingerprint
    pending = pending_names(database, list(names), fingerprint, way_out, holder)
    with FeatureStore(database) as store:
        sizes = {name: (image.width, image.height) for name, image in store.images().items()}
    photographs = read_headers(images, pending, skipped, partial(check_size, extractor), largest, sizes)
    photographs = _as_seen(database, images, photographs, sorted(set(names) - set(pending)), options, progress)
    keep, store = _map_keeper(extractor, cache), partial(feature_writer, database, fingerprint, options.stretch)
    extract_all(photographs, extractor, store, skipped, on_maps=keep, progress=progress)
    return skipped


def require_usable(database: Path, there: Collection[str], options: ExtractionOptions, way_out: str) -> None:
    """Raise as ``Extractor`` for options that can't be used here, and as ``require_same_settings``."""
    extractor = _extractor(in_precision_of(there, options), None)
    require_same_settings(database, there, extractor.fingerprint, way_out)


def _extractor(options: ExtractionOptions, storage: StorageOptions | None) -> Extractor:
    return Extractor(options, (storage or StorageOptions()).in_database)


def _require_inputs(
    images: Path,
    only: Sequence[str],
    options: ExtractionOptions,
    cameras: CameraOptions,
    masks: Masks,
    cache: MapCacheOptions,
) -> list[str]:
    """Sorted names of the photographs. Raises if an argument is wrong, before anything is written."""
    names = require_photographs(images)
    check_cameras(cameras, names)
    names = chosen_photographs(images, names, only)
    if cache.cache and 1.0 not in options.scales:
        raise ValueError("--cache keeps feature maps of scale 1: add 1 to --scales, or leave out --cache")
    masks.check(images, names)
    return names


def _warn_of_missing(database: Path, images: Path, names: list[str], only: Sequence[str]) -> None:
    with FeatureStore(database) as store:
        gone = sorted(name for name in store.images().keys() - set(names) if is_among(only, name))
    if gone:
        logger.warning(
            "in %s, but no longer in %s: %s (d2sfm remove --missing removes them)",
            database,
            images,
            first_of(gone, "photograph"),
        )


def _imported(
    database: Path, images: Path, photographs: list[Photograph], cameras: CameraOptions, skipped: Skipped, is_all: bool
) -> list[Photograph]:
    """``import_folder`` if there is anything to do; a warning if others (not is_all) keep cameras of other options."""
    if photographs or cameras.rig_config is not None:
        photographs = import_folder(database, images, photographs, cameras, skipped)
    with FeatureStore(database) as features:
        noted = features.notes.read(Note.CAMERAS)
    if not is_all and described(cameras) not in (noted, described(CameraOptions())):
        logger.warning(
            "options of cameras are for new photographs only; those that are there keep their cameras (to change "
            "these, extract into a new database)"
        )
    return photographs


def _as_seen(
    database: Path,
    images: Path,
    photographs: list[Photograph],
    there: list[str],
    options: ExtractionOptions,
    progress: bool,
) -> list[Photograph]:
    """The photographs as the network is to see them: range of grey values and orientation.

    there: names of others, which have features; warns if they changed, or their orientation would differ now.
    """
    extracted = read_headers(images, there, Skipped())  # of one that can't be read by now the features are there
    warn_of_replaced(database, extracted)
    known = as_extracted(database, extracted)
    warn_of_turned(known, extracted, options.orientation)
    stretch = options.stretch
    return turned(stretched(photographs, stretch, noted_stretch(database, stretch), known), options, known, progress)


def _map_keeper(extractor: Extractor, kept: MapCacheOptions) -> OnMaps | None:
    if not kept.cache:
        return None
    options = extractor.options
    weights = load_weights(options.weights, options.preprocessing, options.mirror)
    cache = MapCache(kept.cache, kept.limit_bytes, weights, extractor.precision, options.preprocessing)
    return lambda photograph, picture, maps: cache.put(
        photograph.path, picture.size, maps, picture.orientation, picture.grey_range
    )
