"""Which photographs of a folder of shards are matched, in blocks of pairs that each need few of them.

d2sfm pairs shards [--pairs retrieval]
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from d2sfm.database.part_copy import ids_of_images, is_whole
from d2sfm.files import replacing
from d2sfm.json_text import json_text
from d2sfm.notebook import Displayed
from d2sfm.options import PairKind, PairSelectionOptions
from d2sfm.pairs.blocks import images_read, pair_blocks
from d2sfm.pairs.select import select_pairs
from d2sfm.shards.folder import ShardFolder, pieces
from d2sfm.shards.images import BlockImages
from d2sfm.shards.import_blocks import make_database
from d2sfm.shards.pair_block import block_text, digest, digest_of_ids
from d2sfm.shards.records import read_record, require_same
from d2sfm.shards.share import Share
from d2sfm.shards.vectors import VectorSummary, make_vectors, read_vectors
from d2sfm.skipped import Skipped
from d2sfm.text import counted

# Of a block: some minutes of matching on two processors, and a database that fits beside others on a machine. Of few
# pairs, blocks for many processes, each with so much to do that its beginning does not count.
MOST_PAIRS, FEWEST_PAIRS, BLOCKS = 1000, 50, 32
MOST_BYTES, FEWEST_IMAGES = 768 << 20, 16


@dataclass(kw_only=True)
class PairsSummary(Displayed):
    """How the pairs were chosen. images_read: of all blocks, each image counted once a block."""

    images: int
    pairs: int
    blocks: int
    images_read: int
    already_there: bool = False
    skipped: Skipped = field(default_factory=Skipped)  # photographs that COLMAP can't import

    def __str__(self) -> str:
        there = ", as they were already" if self.already_there else ""
        reads = f"each image is in {self.images_read / max(self.images, 1):.1f} of them"
        blocks = counted(self.blocks, "block")
        return f"pairs: {counted(self.pairs, 'pair')} of {counted(self.images, 'image')} in {blocks}, {reads}{there}"


def choose_pairs(
    folder: ShardFolder, options: PairSelectionOptions | None = None, *, progress: bool = False
) -> PairsSummary:
    """Write the pairs that the options choose, in blocks, as ``pairs.select`` chooses them of a database.

    Raises as ``select_pairs``, and RuntimeError if blocks of features are missing, or pairs that other options chose
    are matched already.
    """
    options = options or PairSelectionOptions()
    skipped = make_database(folder)
    asked, there = _told(options), read_record(folder.pair_record) if folder.pair_record.exists() else None
    if there and folder.is_matched:
        way_out = "use the same, or remove pairs.json, matching.json and the blocks matches-*.db"
        require_same(folder.path, there["options"], asked, way_out)
    if there and there["options"] == asked and not _of_files(options) and _are_whole(folder, there):
        return _summary(there, skipped, already_there=True)
    with BlockImages(folder) as images:
        pairs, names = select_pairs(images, options, partial(_describe, folder, progress)), images.image_names()
        ids = digest_of_ids(images.image_ids())
    most_pairs = min(MOST_PAIRS, max(FEWEST_PAIRS, -(-len(pairs) // BLOCKS)))
    blocks = pair_blocks(pairs, most_pairs, _most_images(folder, len(names)))
    record = {
        "blocks": len(blocks),
        "options": asked,
        "images": len(np.unique(pairs)),
        "pairs": len(pairs),
        "images_read": images_read(blocks),
        "fingerprint": folder.photographs.fingerprint,
        "ids": ids,
        "digests": [digest(block_text(block, names)) for block in blocks],
    }
    if there and folder.is_matched and any(there.get(key) != record[key] for key in ("ids", "digests")):
        raise RuntimeError(
            f"{folder.path} has other pairs that are matched already (a file, a model or photographs have changed): "
            "remove pairs.json, matching.json and the blocks matches-*.db to match these"
        )
    if already_there := there == record and _are_whole(folder, record):
        return _summary(record, skipped, already_there)
    if there != record:
        folder.pair_record.unlink(missing_ok=True)
    _write(folder, (block_text(block, names) for block in blocks), record)
    return _summary(record, skipped)


def describe_shard(
    folder: ShardFolder, share: Share, options: PairSelectionOptions | None = None, *, progress: bool = False
) -> VectorSummary:
    """Make the global descriptors of a share of the blocks, so that ``choose_pairs`` finds them.

    Raises ValueError if the options choose pairs without them, RuntimeError if blocks of features are missing.
    """
    options = options or PairSelectionOptions()
    if options.kind in (None, PairKind.EXHAUSTIVE) or options.global_descriptors is not None:
        raise ValueError(
            f"--shard makes global descriptors, which --pairs {options.pairs} does not need: leave --shard out"
        )
    make_database(folder)
    with BlockImages(folder) as images:
        return make_vectors(folder, images, share, progress=progress)


def _most_images(folder: ShardFolder, images: int) -> int:
    """How many images a block of pairs may have, by the size of their features."""
    stored = sum(folder.features(number).stat().st_size for number in range(folder.photographs.blocks))
    return max(FEWEST_IMAGES, int(MOST_BYTES * images / max(stored, 1)))


def _describe(folder: ShardFolder, progress: bool, images: BlockImages, image_ids: Sequence[int]) -> np.ndarray:
    return read_vectors(folder, images, image_ids, progress)


def _write(folder: ShardFolder, texts: Iterable[bytes], record: Mapping[str, Any]) -> None:
    """Write the blocks in place of those that are there, and the record last."""
    paths = [folder.pairs(number) for number in range(record["blocks"])]
    for path, text in zip(paths, texts, strict=True):
        with replacing(path) as file:
            file.write(text)
    for path in set(pieces(folder.path, r"pairs-\d{4,}\.txt")) - set(paths):
        path.unlink()
    with replacing(folder.pair_record) as file:
        file.write(json_text(record).encode())


def _are_whole(folder: ShardFolder, record: Mapping[str, Any]) -> bool:
    """Whether all blocks of pairs are as they were written, and the database is there that they are of."""
    paths = [folder.pairs(number) for number in range(record["blocks"])]
    found = [path.exists() and digest(path.read_bytes()) for path in paths]
    if found != record["digests"] or not is_whole(folder.database):
        return False
    return digest_of_ids(ids_of_images(folder.database, folder.photographs.names)) == record.get("ids")


def _of_files(options: PairSelectionOptions) -> bool:
    """Whether the pairs depend on files beside the folder, which may have changed."""
    return options.kind is None or options.model is not None or options.global_descriptors is not None


def _told(options: PairSelectionOptions) -> dict[str, Any]:
    """The options as the record has them, files by their names: machines may see them at different paths, and other
    content gives other pairs."""
    told = asdict(options) | {"pairs": options.kind or Path(options.pairs)}
    told = {name: value.name if isinstance(value, Path) else value for name, value in told.items()}
    return json.loads(json_text(told))


def _summary(record: Mapping[str, Any], skipped: Skipped | None = None, already_there: bool = False) -> PairsSummary:
    told = {name: record[name] for name in ("images", "pairs", "blocks", "images_read")}
    return PairsSummary(**told, already_there=already_there, skipped=skipped or Skipped())
