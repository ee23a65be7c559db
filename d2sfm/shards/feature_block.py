"""A file of features of some photographs: hloc's layout, and what an import of the photographs needs.

Beside hloc's datasets (see ``formats.hloc_features``) the group of each photograph has ``blank_copy``, bytes [B]: a
picture without content that has the size and the metadata of the photograph, from which COLMAP imports camera and GPS
position as from the photograph itself. In the file's attributes lie the settings of the features, the names that the
block is of, and why photographs of it are left out.
"""

import json
from collections.abc import Collection, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from d2sfm.formats.hdf5 import FILE_BYTES, array, created, member
from d2sfm.formats.hloc_features import HlocFeatures, hloc_features_size, write_hloc_features
from d2sfm.formats.npz_mat import read_features, read_fingerprint
from d2sfm.skipped import Skipped

BLANK_COPY = "blank_copy"
_RECORD = "d2sfm.block"  # no photograph's name: these end in a format's suffix
_MOST_BYTES = 1 << 30  # of a blank copy, or a record


class BlockFile(NamedTuple):
    """The file of a block, there or to be written: all photographs that it is of, and the settings of their
    features."""

    path: Path
    names: tuple[str, ...]
    fingerprint: str


class FeatureBlock(HlocFeatures):
    """A block to read. FileNotFoundError if there is none, ValueError if it is damaged."""

    def __init__(self, path: Path | str):
        super().__init__(path)
        try:
            record = json.loads(array(self._file, _RECORD, (None,), "u", _MOST_BYTES).tobytes())
            self.of, self.settings = tuple(record["names"]), record["fingerprint"]
            self.skipped = Skipped(record["skipped"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged, or not a block of features: {error}") from error

    def copy_to(self, file: h5py.File, name: str) -> None:
        """Add all that the block has of a photograph to another file."""
        self._file.copy(self._group(name), file, name)

    def positions_in_file(self, name: str) -> np.ndarray:
        """Positions of a photograph's keypoints as the file has them, [N, 2]. ValueError if it has none."""
        return self._keypoints(self._group(name), name)

    def blank_copy(self, name: str) -> bytes:
        """The blank copy of a photograph. ValueError if the block has none."""
        return array(self._group(name), BLANK_COPY, (None,), "u", _MOST_BYTES).tobytes()


def names_in_block(file: BlockFile) -> list[str] | None:
    """Those of the photographs that a block has features of; None if the file is not that of these photographs, with
    features of these settings."""
    try:
        with FeatureBlock(file.path) as block:
            is_theirs = (block.of, block.settings) == (file.names, file.fingerprint)
            return [name for name in block.of if name not in block.skipped] if is_theirs else None
    except (FileNotFoundError, ValueError):
        return None


def write_block(
    block: BlockFile, parts: Iterable[tuple[str, Path, Path | None]], skipped: Skipped, kept: Collection[str] = ()
) -> None:
    """Write a block, whole or not at all.

    parts: of each photograph its name, a file of its features (see ``formats.npz_mat``) and its blank copy, or None for
    a block from which nothing is imported. kept: names of others, whose features are those of the block that is there.
    Raises RuntimeError if the disk is full or read-only.
    """
    parts, path = list(parts), block.path
    record = {"names": block.names, "fingerprint": block.fingerprint, "skipped": skipped}
    text = json.dumps(record).encode()
    size = FILE_BYTES + len(text) + sum(_size(*part) for part in parts) + (path.stat().st_size if kept else 0)
    with created(path, size) as file, FeatureBlock(path) if kept else nullcontext() as there:
        for name in kept:
            there.copy_to(file, name)
        for name, of_features, of_blank in parts:
            write_hloc_features(file, name, read_features(of_features), read_fingerprint(of_features))
            if of_blank:
                member(file, name)[BLANK_COPY] = np.frombuffer(of_blank.read_bytes(), np.uint8)
        file[_RECORD] = np.frombuffer(text, np.uint8)


def _size(name: str, of_features: Path, of_blank: Path | None) -> int:
    """Bytes at the most; features are stored without compression."""
    stored = of_features.stat().st_size
    blank = of_blank.stat().st_size if of_blank else 0
    return hloc_features_size(name, read_fingerprint(of_features), stored // 16, stored) + blank
