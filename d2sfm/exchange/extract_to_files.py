"""Features of a list or a folder of photographs into files beside them, as the published tool writes them.

d2sfm extract --image-list images.txt --output-type npz
"""

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from d2sfm.extraction.folder import check_size
from d2sfm.extraction.pipeline import extract_all
from d2sfm.extraction.stretch import stretched
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.extraction.upright import turned, warn_of_turned
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import with_stretch
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import DamagedFile, read_fingerprint, read_orientation, write_features
from d2sfm.options import DescriptorDtype, ExtractionOptions, OutputType, PhotographOptions, Precision, StorageOptions
from d2sfm.photographs.photograph import Photograph, read_headers
from d2sfm.photographs.reading import chosen_photographs, read_image_list, require_photographs
from d2sfm.skipped import Skipped

EXTENSION = ".d2-net"  # the published tool's, which a feature file adds to its photograph's name


def extract_to_files(
    image_list: Path | None = None,
    *,
    images: Path | None = None,
    only: Sequence[str] = (),
    options: ExtractionOptions | None = None,
    storage: StorageOptions | None = None,
    limits: PhotographOptions | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> ExtractionSummary:
    """Write a feature file beside each photograph of a list or a folder, as the published tool does.

    image_list: a text file with a path in each line, relative to the current directory. images: instead, a folder, of
    which the photographs that match a pattern of ``only`` are taken (see ``text.fits``; none: all). Without
    ``overwrite``, a photograph whose file holds features of the same settings is left out, and one whose file is of
    other settings or another program is skipped; a damaged file is replaced. options: the precision auto is float32
    here, as that of the published tool. limits: which photographs are read.

    Raises FileNotFoundError or ValueError for a list that is missing, empty or not text, for a folder that is missing
    or empty, and if both are given, or neither.
    """
    started, unusable = time.perf_counter(), Skipped()
    storage = storage or StorageOptions()
    dtype = storage.descriptor_dtype or DescriptorDtype.FLOAT32
    output_type = storage.output_type or OutputType.NPZ
    folder, names = _photographs(image_list, images, only)
    extractor = Extractor(_in_float32(options or ExtractionOptions()), dtype)
    stored_as = {"output_type": output_type, "descriptor_dtype": dtype}
    fingerprint = json.dumps(json.loads(extractor.fingerprint) | stored_as)
    stretch = extractor.options.stretch

    def fingerprint_of(stretched: Features | Photograph) -> str:
        return with_stretch(fingerprint, stretch, stretched.grey_range)

    def write(name: str, features: Features) -> None:
        write_features(target(name), features, output_type, dtype, fingerprint_of(features))

    def target(name: str) -> Path:
        return folder / f"{name}{storage.output_extension or EXTENSION}"

    largest = (limits or PhotographOptions()).max_megapixels
    photographs = read_headers(folder, names, unusable, partial(check_size, extractor), largest)
    photographs = stretched(photographs, stretch)  # by all of the list, as a new range asks for new features
    wanted = dict.fromkeys(names, fingerprint) | {each.name: fingerprint_of(each) for each in photographs}
    there, of_others = set(), Skipped()
    for name in () if overwrite else names:
        with of_others.catching(name):
            if _has_features(target(name), wanted[name]):
                there.add(name)
    pending = [name for name in names if name not in there]
    skipped = Skipped({name: reason for name, reason in (of_others | unusable).items() if name not in there})
    kept = [each for each in photographs if each.name in there]
    known = [replace(each, orientation=read_orientation(target(each.name))) for each in kept]
    warn_of_turned(known, kept, extractor.options.orientation)
    chosen = set(pending) - set(skipped)
    photographs = turned([each for each in photographs if each.name in chosen], extractor.options, [], progress)
    found = extract_all(photographs, extractor, lambda: nullcontext(write), skipped, progress=progress)
    return ExtractionSummary.of(names, len(pending), found, skipped, started)


def _in_float32(options: ExtractionOptions) -> ExtractionOptions:
    """The options, with auto replaced by float32: readers compare such files with those of other machines."""
    return replace(options, precision=Precision.FLOAT32) if options.precision is Precision.AUTO else options


def _photographs(image_list: Path | None, images: Path | None, only: Sequence[str]) -> tuple[Path, list[str]]:
    """A folder, and the names of the chosen photographs in it."""
    if (image_list is None) == (images is None) or (only and images is None):
        raise ValueError("expected image_list or images, not both; the argument 'only' needs images")
    if images is None:
        return Path(), read_image_list(image_list)
    return Path(images), chosen_photographs(images, require_photographs(images), only)


def _has_features(target: Path, fingerprint: str) -> bool:
    """Whether a file holds features of these settings. ValueError if it holds anything else."""
    try:
        if target.stat().st_size == 0:
            return False
        found = read_fingerprint(target)
    except (OSError, DamagedFile):  # missing, or cut short; of another error, writing will tell why
        return False
    if found is None:
        raise ValueError(f"{target.name} was not written by d2sfm extract: --overwrite replaces it")
    if found != fingerprint:
        raise ValueError(f"{target.name} holds features of other settings: --overwrite replaces it")
    return True
