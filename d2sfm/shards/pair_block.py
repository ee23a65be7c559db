"""A file of pairs of photographs, two names a line with a tab between, and what tells whether it is whole."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from d2sfm.pairs.pair_files import require_writable
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.records import read_record


class PairBlock(NamedTuple):
    """Pairs of names, and what tells the block from others."""

    pairs: list[tuple[str, str]]
    digest: str

    @property
    def names(self) -> set[str]:
        """Of all its photographs."""
        return {name for pair in self.pairs for name in pair}


def read_block(folder: ShardFolder, number: int) -> PairBlock:
    """A block that is as it was written. ValueError if it is not, or missing."""
    path = folder.pairs(number)
    found = path.read_bytes() if path.exists() else b""
    if digest(found) != digests(folder)[number]:
        raise ValueError(f"{path} is not as it was written: run d2sfm pairs {folder.path} again, with its options")
    return PairBlock([tuple(line.split("\t")) for line in found.decode().split("\n")[:-1]], digest(found))


def digests(folder: ShardFolder) -> list[str]:
    """Of all blocks, as they were written."""
    return read_record(folder.pair_record)["digests"]


def block_text(pairs: np.ndarray, names: Mapping[int, str]) -> bytes:
    """The bytes of a block of pairs of image ids, [P, 2]. ValueError if a name can't stand in a line.

    names: by image id.
    """
    require_writable(names[image_id] for image_id in np.unique(pairs).tolist())
    return "".join(f"{names[a]}\t{names[b]}\n" for a, b in pairs.tolist()).encode()


def digest_of_ids(ids: Mapping[str, int]) -> str:
    """What tells ids of images by name, by which files of matches know them, from others."""
    return digest(json.dumps(sorted(ids.items())).encode())


def digest(text: bytes) -> str:
    """What tells a block from others."""
    return hashlib.blake2b(text, digest_size=8).hexdigest()
