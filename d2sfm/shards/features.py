"""Features of the photographs of a folder, block by block, each in a file.

d2sfm extract --shard 2/7 --images photos --output shards
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from d2sfm.database import camera_rules
from d2sfm.extraction.folder import check_cameras, check_size
from d2sfm.extraction.pipeline import extract_all
from d2sfm.extraction.stretch import stretched
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.extraction.upright import turned
from d2sfm.extraction.writer import Write
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import with_stretch
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import write_features
from d2sfm.options import (
    CameraOptions,
    Convention,
    DescriptorDtype,
    ExtractionOptions,
    MaskOptions,
    Orientation,
    PhotographOptions,
    Precision,
    StorageOptions,
    Stretch,
)
from d2sfm.pairs.pair_files import require_writable
from d2sfm.parts import scratch_folder
from d2sfm.photographs.blank_copies import write_blank_copy
from d2sfm.photographs.masks import Masks
from d2sfm.photographs.photograph import Photograph, read_headers
from d2sfm.photographs.reading import chosen_photographs, require_photographs
from d2sfm.shards.feature_block import BlockFile, names_in_block, write_block
from d2sfm.shards.folder import Photographs, ShardFolder
from d2sfm.shards.share import Share
from d2sfm.skipped import Skipped


def extract_shard(
    output: Path,
    images: Path,
    share: Share,
    *,
    options: ExtractionOptions | None = None,
    cameras: CameraOptions | None = None,
    storage: StorageOptions | None = None,
    masks: MaskOptions | None = None,
    limits: PhotographOptions | None = None,
    only: Sequence[str] = (),
    progress: bool = False,
) -> ExtractionSummary:
    """Write the blocks of a share of the photographs below ``images`` to the folder ``output``, which all shares have.

    The arguments are those of ``extract_to_database``, and the same for all shares. Blocks that are there are passed
    over, so a stopped run goes on. The summary is of the photographs of the share.

    Raises FileNotFoundError or ValueError for a folder that is missing, for wrong options, and for those that look at
    all photographs at once; RuntimeError if the folder was begun with other photographs or options.
    """
    started = time.perf_counter()
    output, images, masks, limits = Path(output), Path(images), masks or MaskOptions(), limits or PhotographOptions()
    mask = Masks.of(masks, limits.max_megapixels)
    photographs, extractor = _planned(output, images, only, options, cameras, storage, mask, limits)
    folder = ShardFolder.begin(output, photographs, mask.sizes(photographs.names))
    summary = ExtractionSummary()
    for number in share.blocks(photographs.blocks):
        add(summary, extract_block(folder, number, extractor, images, mask, progress=progress))
    summary.seconds = time.perf_counter() - started
    return summary


def extract_block(
    folder: ShardFolder, number: int, extractor: Extractor, images: Path, mask: Masks, *, progress: bool = False
) -> ExtractionSummary:
    """Write a block of features, unless it is there; photographs that it lacks, as they could not be used, are tried
    again.

    extractor: of the folder's options. images: where the photographs are; mask: theirs.
    """
    started, photographs, skipped = time.perf_counter(), folder.photographs, Skipped()
    names = photographs.block(number)
    block = BlockFile(folder.features(number), names, photographs.fingerprint)
    there = names_in_block(block)
    todo = [name for name in names if there is None or name not in there]
    if not todo:
        return ExtractionSummary(already_there=len(names))
    options, largest = photographs.extraction, photographs.limits.max_megapixels
    mask.warn_of_lacking(todo)
    found = read_headers(images, todo, skipped, partial(check_size, extractor), largest)
    found = _stretched(found, options.stretch)
    found = turned(found, options, [])
    counts = extract_to_file(
        block, found, extractor, skipped, mask=mask, with_blanks=True, kept=there or (), progress=progress
    )
    return ExtractionSummary.of(names, len(todo), counts, skipped, started)


def extract_to_file(
    block: BlockFile,
    photographs: Sequence[Photograph],
    extractor: Extractor,
    skipped: Skipped,
    *,
    mask: Masks,
    with_blanks: bool,
    kept: Collection[str] = (),
    progress: bool = False,
) -> dict[str, int]:
    """Write a block of features, and return the numbers of keypoints by name.

    photographs: those of the block that can be used, as far as is known. skipped: gets the others, and is written, too.
    with_blanks: whether COLMAP is to import cameras from the block. kept: names that the file has features of, which
    stay; then it is left as it is where no others come.
    """
    with scratch_folder() as scratch:
        files = {each.name: scratch / f"{index}.npz" for index, each in enumerate(photographs)}
        store = partial(_feature_files, files, block.fingerprint, extractor.options.stretch)
        counts = extract_all(photographs, extractor, store, skipped, mask=mask, progress=progress)
        parts = []
        for photograph in photographs:
            if photograph.name in counts:
                with skipped.catching(photograph.name):
                    blank = files[photograph.name].with_suffix(".png") if with_blanks else None
                    if blank:
                        write_blank_copy(photograph.path, blank)
                    parts.append((photograph.name, files[photograph.name], blank))
        if parts or not kept:
            write_block(block, parts, skipped, kept)
    return {name: counts[name] for name, *_ in parts}


def settled(extractor: Extractor) -> ExtractionOptions:
    """An extractor's options, with the precision that auto came to."""
    return replace(extractor.options, precision=Precision(str(extractor.precision).removeprefix("torch.")))


def add(total: ExtractionSummary, block: ExtractionSummary) -> None:
    """Count a block in."""
    total.extracted += block.extracted
    total.already_there += block.already_there
    total.keypoints += block.keypoints
    total.without_keypoints += block.without_keypoints
    total.skipped.update(block.skipped)


def _planned(
    output: Path,
    images: Path,
    only: Sequence[str],
    options: ExtractionOptions | None,
    cameras: CameraOptions | None,
    storage: StorageOptions | None,
    mask: Masks,
    limits: PhotographOptions,
) -> tuple[Photographs, Extractor]:
    """What a folder of shards is to be of, and what extracts its features."""
    options, cameras = options or ExtractionOptions(), cameras or CameraOptions()
    dtype = (storage or StorageOptions()).in_database
    if options.convention is Convention.REFERENCE:
        raise ValueError("--convention reference is for a database or files, not for shards")
    if options.orientation is Orientation.AUTO:
        raise ValueError(
            "--orientation auto compares all photographs with each other, a shard sees 64 at a time: extract without "
            "--shard, or turn the photographs upright before"
        )
    if any(rule.options.existing_camera is not None for rule in camera_rules(cameras)):
        raise ValueError("--existing-camera is of a database, and there is none yet: give --camera-params")
    names = chosen_photographs(images, require_photographs(images), only)
    require_writable(names)  # d2sfm pairs writes them into files
    check_cameras(cameras, names)
    mask.check(images, names)
    if options.precision is Precision.AUTO:
        with suppress(FileNotFoundError):  # the first process decides for all
            options = replace(options, precision=ShardFolder(output).photographs.extraction.precision)
    extractor = Extractor(options, dtype)
    planned = Photographs(
        images=images,
        names=tuple(names),
        fingerprint=mask.noted_in(extractor.fingerprint),
        extraction=settled(extractor),
        descriptor_dtype=dtype,
        cameras=cameras,
        limits=limits,
    )
    return planned, extractor


def _stretched(photographs: list[Photograph], stretch: Stretch) -> list[Photograph]:
    found = stretched(photographs, stretch)
    if stretch is Stretch.FOLDER and any(each.grey_range is not None for each in found):
        raise ValueError(
            "photographs of 16 bits are stretched from one range of the whole folder, a shard sees 64 at a time: give "
            "--stretch image or --stretch none, or extract without --shard"
        )
    return found


@contextmanager
def _feature_files(files: Mapping[str, Path], fingerprint: str, stretch: Stretch) -> Iterator[Write]:
    """Gives the function that writes the features of a photograph to its file."""

    def write(name: str, features: Features) -> None:
        noted = with_stretch(fingerprint, stretch, features.grey_range)
        dtype = DescriptorDtype(features.descriptors.dtype.name)
        write_features(files[name], features, descriptor_dtype=dtype, fingerprint=noted)

    yield write
