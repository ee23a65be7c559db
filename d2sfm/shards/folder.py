"""The folder that all machines share: what its pieces are of, what they are called, and which are there.

    shards.json         photographs and options, written by the first process
    cameras.toml        copy of the file of cameras, if there is one, by the first process
    rigs.json           copy of the rig configuration, the same
    masks.json          sizes of the masks by photograph, the same
    features-0000.h5    features of 64 photographs each, in the order of names
    photographs.db      COLMAP's database of the photographs without their features
    vocabulary.npy      words of all photographs
    vlad-0000.npy       global descriptors of the photographs in features-0000.h5
    pairs.json          how pairs were chosen, and how many blocks of them there are
    pairs-0000.txt      pairs of photographs, two names a line
    matching.json       options of matching, written by the first process
    matches-0000.db     rows of the pairs in pairs-0000.txt

Blocks do not depend on the number of shards, so a stopped run may go on with another one.
"""

import json
import os
import re
import shutil
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from d2sfm.features.fingerprints import clash, difference
from d2sfm.json_text import json_text
from d2sfm.options import CameraOptions, DescriptorDtype, ExtractionOptions, PhotographOptions
from d2sfm.options.fields import deciding
from d2sfm.parts import part_of
from d2sfm.shards.records import place_first, read_record, require_same, write_first
from d2sfm.text import counted, first_of

BLOCK_PHOTOGRAPHS = 64
_COPIES = {"cameras": "cameras.toml", "rig_config": "rigs.json"}  # of files that options of cameras name


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """What the pieces of a folder are of: photographs, and all options that decide what import and extraction make.

    images: their folder; names: sorted. fingerprint: of the features. cameras: with the files that they name, or a
    folder's copies of these.
    """

    images: Path
    names: tuple[str, ...]
    fingerprint: str
    extraction: ExtractionOptions
    descriptor_dtype: DescriptorDtype
    cameras: CameraOptions
    limits: PhotographOptions

    def block(self, number: int) -> tuple[str, ...]:
        """Names of the photographs of a block."""
        return self.names[BLOCK_PHOTOGRAPHS * number : BLOCK_PHOTOGRAPHS * (number + 1)]

    def block_of(self, name: str) -> int:
        """The number of the block that a photograph belongs to."""
        return bisect_left(self.names, name) // BLOCK_PHOTOGRAPHS

    @property
    def blocks(self) -> int:
        """How many there are."""
        return -(-len(self.names) // BLOCK_PHOTOGRAPHS)


def pieces(folder: Path, names: str) -> list[Path]:
    """The files of a folder whose whole names match an expression; others may be the user's own."""
    return [path for path in folder.iterdir() if re.fullmatch(names, path.name)]


class ShardFolder:
    """The folder with its pieces. FileNotFoundError if there is none that ``begin`` made, ValueError if its
    record can't be read."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        if not self._record.is_file():
            raise FileNotFoundError(
                f"{path} is not a folder of shards: d2sfm extract --shard 1/N --images DIR --output {path} begins one"
            )

    @classmethod
    def begin(cls, path: Path | str, photographs: Photographs, masks: Mapping[str, int] | None = None) -> "ShardFolder":
        """The folder of these photographs, made if it is not there.

        masks: bytes of the masks by photograph. Machines may see the same files at different paths: these are compared
        by what is in them, masks by their sizes. Raises RuntimeError if the folder is of others, or of other options.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        images = photographs.images.resolve()
        record = {"images": str(images), "images_beside": os.path.relpath(images, path.resolve())}
        record |= {"fingerprint": photographs.fingerprint, **_settings(photographs), "names": photographs.names}
        write_first(path / "shards.json", record)
        folder = cls(path)
        folder._require_same(photographs)
        folder._require_same_cameras(photographs.cameras)
        folder._require_same_masks(masks or {})
        return folder

    @cached_property
    def photographs(self) -> Photographs:
        """What the pieces are of."""
        found = read_record(self._record)
        try:
            return Photographs(
                images=self._images(found),
                names=tuple(found["names"]),
                fingerprint=found["fingerprint"],
                extraction=ExtractionOptions(**found["extraction"]),
                descriptor_dtype=DescriptorDtype(found["descriptor_dtype"]),
                cameras=CameraOptions(**found["cameras"] | self._copies(found["cameras"])),
                limits=PhotographOptions(**found["limits"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self._record} can't be used: {error!r}; another version of d2sfm made it") from error

    def features(self, number: int) -> Path:
        """The file of the features of a block."""
        return self.path / f"features-{number:04}.h5"

    @property
    def database(self) -> Path:
        """The database of the photographs without their features."""
        return self.path / "photographs.db"

    @property
    def vocabulary(self) -> Path:
        """The words of the global descriptors."""
        return self.path / "vocabulary.npy"

    def vectors(self, number: int) -> Path:
        """The file of the global descriptors of the photographs of a block."""
        return self.path / f"vlad-{number:04}.npy"

    def pairs(self, number: int) -> Path:
        """The file of a block of pairs."""
        return self.path / f"pairs-{number:04}.txt"

    @property
    def pair_record(self) -> Path:
        """How the pairs were chosen; there once all their blocks are."""
        return self.path / "pairs.json"

    @property
    def pair_blocks(self) -> int:
        """How many blocks of pairs there are; 0 if pairs were not chosen yet."""
        return read_record(self.pair_record)["blocks"] if self.pair_record.exists() else 0

    @property
    def matching_record(self) -> Path:
        """With which options they are matched."""
        return self.path / "matching.json"

    def matches(self, number: int) -> Path:
        """The file of the matches and geometries of a block of pairs."""
        return self.path / f"matches-{number:04}.db"

    @property
    def is_matched(self) -> bool:
        """Whether there are matches of any block."""
        return bool(pieces(self.path, r"matches-\d{4,}\.db"))

    @property
    def _record(self) -> Path:
        return self.path / "shards.json"

    def _images(self, found: Mapping[str, Any]) -> Path:
        """The folder of the photographs: as it lies to this one where it is there, as of a mount elsewhere."""
        beside = Path(os.path.normpath(self.path.resolve() / found["images_beside"]))
        return beside if any((beside / name).exists() for name in found["names"][:1]) else Path(found["images"])

    def _require_same(self, photographs: Photographs) -> None:
        there, way_out = self.photographs, "use the same ones, or another folder"
        if there.names != photographs.names:
            others = sorted(set(there.names) ^ set(photographs.names))
            raise RuntimeError(
                f"{self.path} was begun with {counted(len(there.names), 'photograph')}, found "
                f"{len(photographs.names)}; not in both: {first_of(others, 'photograph')}: {way_out}"
            )
        if clash(there.fingerprint, photographs.fingerprint):
            raise RuntimeError(
                f"{self.path} was begun with {difference(there.fingerprint, photographs.fingerprint)}, but this run "
                f"asks for {difference(photographs.fingerprint, there.fingerprint)}: {way_out}"
            )
        require_same(self.path, _settings(there), _settings(photographs), way_out)

    def _copies(self, cameras: Mapping[str, Any]) -> dict[str, Path]:
        """The copies of files that options of cameras name, by option."""
        return {name: self.path / copy for name, copy in _COPIES.items() if cameras[name] is not None}

    def _require_same_cameras(self, cameras: CameraOptions) -> None:
        for name, copy in self._copies(vars(cameras)).items():
            file = getattr(cameras, name)
            if not copy.exists():
                with part_of(copy) as part:
                    place_first(shutil.copyfile(file, part), copy)
            if copy.read_bytes() != file.read_bytes():
                raise RuntimeError(
                    f"{file} is not the file that {self.path} was begun with: use the same, or remove {copy.name}, "
                    f"{self.database.name} and the blocks matches-*.db there to take it"
                )

    def _require_same_masks(self, masks: Mapping[str, int]) -> None:
        if not masks:  # as the fingerprint tells of all shares
            return
        write_first(record := self.path / "masks.json", masks)
        before = read_record(record)
        if others := sorted(name for name in before.keys() | masks.keys() if before.get(name) != masks.get(name)):
            raise RuntimeError(
                f"{self.path} was begun with another mask, or none, of {first_of(others, 'photograph')}: use the same, "
                f"or remove {record.name}, {self.pair_record.name}, {self.vocabulary.name} and the blocks vlad-*.npy "
                "there, and the blocks features-*.h5 that are to be made with these"
            )


def _settings(photographs: Photographs) -> dict[str, Any]:
    """What else decides features and cameras, as the record has it."""
    extraction = deciding(photographs.extraction)
    del extraction["weights"]  # a file of one machine, whose content is in the fingerprint
    cameras = asdict(photographs.cameras)
    cameras |= {name: copy for name, copy in _COPIES.items() if cameras[name] is not None}
    settings = {
        "extraction": extraction,
        "descriptor_dtype": photographs.descriptor_dtype,
        "cameras": cameras,
        "limits": asdict(photographs.limits),
    }
    return json.loads(json_text(settings))
