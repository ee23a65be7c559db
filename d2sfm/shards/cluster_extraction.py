"""Features of a folder of photographs into a database, extracted by the workers of a cluster.

The client does all that is the database's: it imports photographs with their cameras, cuts those that have no features
into pieces, and writes the features of each as it comes. A piece is a block of features in a folder beside the
database, which goes once it is written; pieces that a killed client has left are taken in first.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from d2sfm.estimate import Estimate
from d2sfm.extraction.extract import extract_to_database
from d2sfm.extraction.pipeline import SHORTER
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.extraction.writer import Write
from d2sfm.features.extractor import Extractor
from d2sfm.options import (
    Convention,
    DescriptorDtype,
    ExtractionOptions,
    MapCacheOptions,
    MaskOptions,
    PhotographOptions,
    StorageOptions,
)
from d2sfm.photographs.masks import Masks
from d2sfm.photographs.photograph import Photograph
from d2sfm.progress import Bar
from d2sfm.shards.cluster import Cluster, pieces_folder
from d2sfm.shards.feature_block import BlockFile, FeatureBlock, names_in_block
from d2sfm.shards.features import extract_to_file, settled
from d2sfm.skipped import Skipped

MOST_PHOTOGRAPHS = 16  # of a piece: what is done again where a worker is lost


def extract_on_cluster(
    cluster: Cluster,
    database: Path,
    images: Path,
    *,
    options: ExtractionOptions | None = None,
    storage: StorageOptions | None = None,
    masks: MaskOptions | None = None,
    cache: MapCacheOptions | None = None,
    limits: PhotographOptions | None = None,
    overwrite: bool = False,
    **given: Any,
) -> ExtractionSummary:
    """``extract_to_database`` with the same arguments and the same result. The workers have to see the photographs and
    the database's folder at the same paths.

    Raises as that does, ValueError for a cache of maps and the reference convention, and as ``Cluster.run``.
    """
    if cache not in (None, MapCacheOptions()):
        raise ValueError("--cache of extract is for one process, not for a cluster: leave it out")
    cluster.require_device((options or ExtractionOptions()).device)
    if options is not None and options.convention is Convention.REFERENCE:
        raise ValueError("--convention reference is for one process, not for a cluster")
    paths = {name: path.absolute() for name, path in vars(masks or MaskOptions()).items() if path is not None}
    pieces = _FeaturePieces(
        cluster=cluster,
        folder=Path(f"{database}.shards").absolute(),
        dtype=(storage or StorageOptions()).in_database,
        masks=MaskOptions(**paths),
        largest=(limits or PhotographOptions()).max_megapixels,
        overwrite=overwrite,
    )
    given |= {"options": options, "storage": storage, "masks": masks, "limits": limits, "overwrite": overwrite}
    return extract_to_database(database, images, by=pieces.extract, **given)


@dataclass(frozen=True, kw_only=True)
class _FeaturePieces:
    """Blocks of features in a folder, which goes at the end."""

    cluster: Cluster
    folder: Path
    dtype: DescriptorDtype
    masks: MaskOptions  # with whole paths
    largest: float  # megapixels of a mask
    overwrite: bool

    def extract(
        self,
        photographs: Sequence[Photograph],
        extractor: Extractor,
        store: Callable[[], AbstractContextManager[Write]],
        skipped: Skipped,
        *,
        mask: Masks,
        progress: bool,
        on_maps: None,
    ) -> dict[str, int]:
        """``pipeline.extract_all`` by the workers."""
        options = _of_workers(extractor)
        fingerprint = mask.noted_in(extractor.fingerprint)
        waiting, found = {each.name: replace(each, path=each.path.absolute()) for each in photographs}, {}
        left = Estimate("extract", len(waiting), "photographs", SHORTER)
        bar = Bar(total=len(waiting), desc="extract", unit="image", disable=not progress)
        with pieces_folder(self.folder), store() as write, bar:
            if self.overwrite:
                self._remove()  # of another state of the photographs, maybe

            def take_in(file: Path, is_new: bool) -> None:
                before = len(waiting)
                try:
                    _take_in(file, waiting, fingerprint, write, found, skipped, is_new)
                finally:
                    bar.update(before - len(waiting))
                    left.update(before - len(waiting))
                file.unlink()

            for file in self._files():
                with suppress(ValueError):  # damaged, or of photographs that were others
                    take_in(file, is_new=False)
            todo = list(waiting.values())
            size = self.cluster.piece(len(todo), MOST_PHOTOGRAPHS) if todo else 1
            pieces = [tuple(todo[start : start + size]) for start in range(0, len(todo), size)]
            files = [self._file(piece, fingerprint) for piece in pieces]
            fixed = options, extractor.fingerprint, fingerprint, self.dtype, self.masks, self.largest
            calls = [(*each, *fixed) for each in zip(files, pieces, strict=True)]
            for number, _ in self.cluster.run(extract_piece, calls):
                take_in(files[number], is_new=True)
            self._remove()
        return {each.name: found[each.name] for each in photographs if each.name in found}

    def _remove(self) -> None:
        """Remove the pieces that are there."""
        for file in self._files():
            file.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("piece-*.h5"))

    def _file(self, photographs: tuple[Photograph, ...], fingerprint: str) -> Path:
        digest = hashlib.sha256(repr((photographs, fingerprint)).encode(errors="surrogateescape"))
        return self.folder / f"piece-{digest.hexdigest()[:16]}.h5"


def extract_piece(
    file: Path,
    photographs: tuple[Photograph, ...],
    options: ExtractionOptions,
    of_extractor: str,
    fingerprint: str,
    dtype: DescriptorDtype,
    masks: MaskOptions,
    largest: float,
) -> None:
    """Write a block of the features of photographs, unless it is there: what a worker does.

    of_extractor, fingerprint: of the features, without and with masks; largest: megapixels of a mask. Raises as
    ``Extractor``, RuntimeError if this worker's features would be others.
    """
    block = BlockFile(file, tuple(each.name for each in photographs), fingerprint)
    if names_in_block(block) is not None:
        return
    extractor = _extractor(options, dtype)
    if extractor.fingerprint != of_extractor:
        raise RuntimeError(f"a worker extracts with {extractor.fingerprint}, but this run asks for {of_extractor}")
    mask = _masks(masks, largest)
    extract_to_file(block, photographs, extractor, Skipped(), mask=mask, with_blanks=False)


@lru_cache(maxsize=1)
def _extractor(options: ExtractionOptions, dtype: DescriptorDtype) -> Extractor:
    return Extractor(options, dtype)


@lru_cache(maxsize=1)
def _masks(masks: MaskOptions, largest: float) -> Masks:
    return Masks.of(masks, largest)


def _of_workers(extractor: Extractor) -> ExtractionOptions:
    """The client's options as they are for workers: what auto came to, and a file of weights by its whole path."""
    options, weights = settled(extractor), Path(extractor.options.weights)
    return replace(options, weights=str(weights.absolute())) if weights.is_file() else options


def _take_in(
    file: Path,
    waiting: dict[str, Photograph],
    fingerprint: str,
    write: Write,
    found: dict[str, int],
    skipped: Skipped,
    is_new: bool,
) -> None:
    """Write the features of a piece, and take its photographs from those that wait. found: gets numbers of keypoints.

    Of an earlier run's piece (not is_new) those are passed over that do not wait, or are seen otherwise by now; what it
    could not use is tried again.
    """
    with FeatureBlock(file) as block:
        for name in block.names() if block.settings == fingerprint else ():
            photograph = waiting.get(name)
            if photograph is None:
                continue
            features = block.read(name, photograph.size)
            if (features.orientation, features.grey_range) == (photograph.orientation, photograph.grey_range):
                with skipped.catching(name):
                    write(name, features)
                    found[name] = len(features)
                del waiting[name]
        for name in block.skipped.keys() & waiting.keys() if is_new else ():
            skipped[name] = block.skipped[name]
            del waiting[name]
