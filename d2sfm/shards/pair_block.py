"""A file of pairs of photographs, two names a line with a tab between, and what tells whether it is whole."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from d2sfm.files import replacing
from d2sfm.pairs.pair_files import require_writable
from d2sfm.shards.folder import ShardFolder, read_record


class PairBlock(NamedTuple):
    """Pairs of names, and what tells the block from others."""

    pairs: list[tuple[str, str]]
    digest: str

    @property
    def names(self) -> set[str]:
        """Of all its photographs."""
        return {name for pair in self.pairs for name in pair}


def write_block(folder: ShardFolder, number: int, pairs: Iterable[tuple[str, str]]) -> str:
    """Write a block, whole or not at all. Returns its digest, which is for ``pairs.json``."""
    text = block_text(pairs)
    with replacing(folder.pairs(number)) as file:
        file.write(text)
    return digest(text)


def read_block(folder: ShardFolder, number: int) -> PairBlock:
    """A block that is as it was written. ValueError where it is not, FileNotFoundError where it is missing."""
    path = folder.pairs(number)
    found = path.read_bytes()
    if digest(found) != digests(folder)[number]:
        raise ValueError(f"{path} is not as it was written: run d2sfm pairs {folder.path} again, with its options")
    return PairBlock([tuple(line.split("\t")) for line in found.decode().split("\n")[:-1]], digest(found))


def digests(folder: ShardFolder) -> list[str]:
    """Of all blocks, as they were written."""
    return read_record(folder.pair_record)["digests"]


def block_text(pairs: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a block. ValueError where a name can't stand in a line."""
    pairs = list(pairs)
    require_writable({name for pair in pairs for name in pair})
    return "".join(f"{a}\t{b}\n" for a, b in pairs).encode()


def digest(text: bytes) -> str:
    """What tells a block from others."""
    return hashlib.blake2b(text, digest_size=8).hexdigest()
