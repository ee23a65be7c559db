"""What a share of a stage of refinement has found, as a file of its own that is whole or absent."""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.files import check_archive, replacing
from d2sfm.refinement.stages import TITLES, Stage
from d2sfm.text import counted, one_line

logger = logging.getLogger(__name__)


def _in_name(title: str) -> str:
    return title.replace(" ", "-")


_NAME = re.compile(rf"(?P<title>{'|'.join(map(_in_name, TITLES))})-(?P<number>\d+)-of-(?P<of>\d+)\.npz")


class Piece(NamedTuple):
    """What was found of some nodes of a stage; these by the labels that the stage has for them."""

    labels: np.ndarray  # [P] int64 ascending
    values: np.ndarray  # [P, columns] float64
    seconds: float = 0.0  # that finding them took

    @classmethod
    def joined(cls, pieces: "Iterable[Piece]", columns: int) -> "Piece":
        """All of them in one; of labels that several have, one: they say the same."""
        pieces = list(pieces)
        labels = np.concatenate([np.zeros(0, np.int64), *(piece.labels for piece in pieces)])
        values = np.concatenate([np.zeros((0, columns)), *(piece.values for piece in pieces)])
        labels, first = np.unique(labels, return_index=True)
        return cls(labels, values[first], sum(piece.seconds for piece in pieces))

    def of(self, labels: np.ndarray) -> "Piece":
        """What it has of these."""
        rows = np.isin(self.labels, labels)
        return Piece(self.labels[rows], self.values[rows])


class Pieces:
    """The pieces of one alignment, of any number of shares, in a folder.

    fingerprint: of all that decides what is found. Pieces of others, and damaged ones, count as missing, with a
    warning. Which share and stage a piece is of stands in its name, too: ``grey-values-2-of-7.npz``.
    """

    def __init__(self, folder: Path, fingerprint: str):
        self._folder, self._fingerprint = folder, fingerprint
        self._found: dict[str, dict[tuple[int, int], Piece]] = {}  # by title

    def read(self, stage: Stage) -> dict[tuple[int, int], Piece]:
        """The pieces of a stage that were there when it was first asked for, by their share: number, from 1 on, of how
        many."""
        if stage.title not in self._found:
            self._found[stage.title] = self._read_all(stage)
        return self._found[stage.title]

    def _read_all(self, stage: Stage) -> dict[tuple[int, int], Piece]:
        found = {}
        for path in self._folder.iterdir():
            named = _NAME.fullmatch(path.name)
            if named and named["title"] == _in_name(stage.title):
                try:
                    found[int(named["number"]), int(named["of"])] = self._read_one(path, stage)
                except ValueError as error:
                    logger.warning("%s: what it held is aligned again", error)
        return found

    def write(self, stage: Stage, number: int, of: int, piece: Piece) -> None:
        """Write a piece in place of the one that is there."""
        with replacing(self._folder / f"{_in_name(stage.title)}-{number}-of-{of}.npz") as stream:
            np.savez(stream, fingerprint=np.array(self._fingerprint), stage=np.array(stage.name), **piece._asdict())

    def _read_one(self, path: Path, stage: Stage) -> Piece:
        found = read_arrays(path, ("fingerprint", "stage", *Piece._fields))
        if (found["fingerprint"], found["stage"]) != (self._fingerprint, stage.name):
            raise ValueError(f"{path} is of other matches or options")
        piece = Piece(found["labels"], found["values"], float(found["seconds"]))
        if piece.values.shape != (len(piece.labels), stage.columns):
            raise ValueError(
                f"{path} is damaged: it has {piece.values.shape} values of {counted(len(piece.labels), 'keypoint')}"
            )
        return piece


def remove_pieces(folder: Path) -> None:
    """Remove the pieces of all stages that are in the folder."""
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of an npz file. FileNotFoundError if it is missing, ValueError if it is damaged or lacks one."""
    with path.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                check_archive(archive.zip, stream.seek(0, os.SEEK_END))
                return {name: archive[name] for name in names}
        except Exception as error:  # the readers raise what they like on damaged files
            raise ValueError(f"{path} is damaged: {one_line(error)}") from error
