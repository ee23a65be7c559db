"""Global descriptors of the photographs of a folder, block by block, each in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.files import replacing_file
from d2sfm.notebook import Displayed
from d2sfm.pairs.vlad import make_vocabulary, vectors
from d2sfm.parts import part_of
from d2sfm.progress import Bar
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.images import BlockImages
from d2sfm.shards.records import place_first
from d2sfm.shards.share import Share
from d2sfm.text import counted


@dataclass(frozen=True, kw_only=True)
class VectorSummary(Displayed):
    """What a run did for its share."""

    images: int
    blocks: int
    already_there: int  # of the blocks

    def __str__(self) -> str:
        there = f", {self.already_there} there already" if self.already_there else ""
        return f"pairs: global descriptors of {counted(self.images, 'image')} in {counted(self.blocks, 'block')}{there}"


def make_vectors(folder: ShardFolder, images: BlockImages, share: Share, *, progress: bool = False) -> VectorSummary:
    """Write the global descriptors of the blocks of a share, unless they are there.

    All are made with one vocabulary, of a sample of all images. Raises as ``BlockImages``.
    """
    words, ids, already_there, count = _vocabulary(folder, images), images.image_ids(), 0, 0
    blocks = share.blocks(folder.photographs.blocks)
    for number in Bar(blocks, desc="global descriptors", unit="block", disable=not progress):
        of_block = [ids[name] for name in folder.photographs.block(number) if name in ids]
        count += len(of_block)
        if _load(folder.vectors(number), (len(of_block), words.size)) is not None:
            already_there += 1
            continue
        with replacing_file(folder.vectors(number)) as part, part.open("wb") as file:
            np.save(file, vectors(images, of_block, words))
    return VectorSummary(images=count, blocks=len(blocks), already_there=already_there)


def read_vectors(folder: ShardFolder, images: BlockImages, image_ids: Sequence[int], progress: bool) -> np.ndarray:
    """Global descriptors of images, [N, D] float16, in the order of image_ids; those that are missing are made."""
    make_vectors(folder, images, Share(1, 1), progress=progress)
    names, size = images.image_names(), _vocabulary(folder, images).size
    rows = {names[image_id]: row for row, image_id in enumerate(image_ids)}
    found, ids = np.zeros((len(rows), size), np.float16), images.image_ids()
    for number in range(folder.photographs.blocks):
        of_block = [name for name in folder.photographs.block(number) if name in ids]
        asked = [index for index, name in enumerate(of_block) if name in rows]
        vectors_of = _load(folder.vectors(number), (len(of_block), size))
        found[[rows[of_block[index]] for index in asked]] = vectors_of[asked]
    return found


def _vocabulary(folder: ShardFolder, images: BlockImages) -> np.ndarray:
    """Words, [K, 512] float32: those that are there, or of two processes at once those of the first one."""
    path = folder.vocabulary
    if (there := _load(path, None)) is not None:
        return there
    words = make_vocabulary(images, list(images.image_names()))
    with part_of(path) as part:
        with part.open("wb") as file:
            np.save(file, words)
        if path.exists() and _load(path, None) is None:  # cut short
            part.replace(path)
        else:
            place_first(part, path)
    return _load(path, None)


def _load(path: Path, shape: tuple[int, int] | None) -> np.ndarray | None:
    """The array of a file; None if there is none, it was cut short or has another shape."""
    try:
        found = np.load(path, allow_pickle=False)
    except (FileNotFoundError, EOFError, ValueError):
        return None
    return found if shape is None or found.shape == shape else None
