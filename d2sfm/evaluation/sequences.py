"""Sequences of pictures in the layout of HPatches: ``1.ppm``, ``2.ppm``, ..., and ``H_1_2`` and so on beside them."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.files import read_text
from d2sfm.photographs.headers import PHOTOGRAPH_SUFFIXES
from d2sfm.photographs.reading import check_photograph
from d2sfm.text import counted, first_of, is_among, natural_order

EXPECTED = "expected folders with 1.ppm, 2.ppm, ... (or .png, .jpg) and H_1_2, ..."
_NUMBER, _HOMOGRAPHY = re.compile(r"[1-9][0-9]*"), re.compile(r"H_1_([1-9][0-9]*)")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PictureSequence:
    """Pictures of a plane, or from one place: the first, and others that homographies take it to.

    others: (path, [3, 3] float64) of each other picture, in order of their numbers: x, y of the first in pixels, their
        centres at integers, to x, y there.
    """

    name: str
    first: Path
    others: tuple[tuple[Path, np.ndarray], ...]


def find_sequences(root: Path, only: Sequence[str] = (), leave_out: Sequence[str] = ()) -> list[PictureSequence]:
    """The sequences in a folder, by name; every picture is decoded once.

    only: patterns of names (see ``text.fits``) to take (default: all); leave_out: patterns of names to leave out.

    Raises FileNotFoundError if the folder is missing, ValueError if it holds no sequence, a pattern matches none, or a
    homography or a picture is missing or can't be used.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder of sequences: {root}")
    folders = sorted((each for each in root.iterdir() if each.is_dir()), key=lambda each: natural_order(each.name))
    numbered = {folder: _pictures(folder) for folder in folders if not folder.name.startswith(".")}
    found = {folder.name: pictures for folder, pictures in numbered.items() if pictures}
    if not found:
        if _pictures(root):
            raise ValueError(f"{root} is a sequence: expected its parent folder (--only picks sequences)")
        raise ValueError(f"{root} holds no sequences: {EXPECTED}")
    if without := [folder.name for folder, pictures in numbered.items() if not pictures]:
        logger.warning("left out, no picture 1 in it: %s", first_of(without, "folder"))
    for pattern in (*only, *leave_out):
        if not any(is_among([pattern], name) for name in found):
            raise ValueError(f"none of the {counted(len(found), 'sequence')} in {root} matches {pattern!r}")
    names = [name for name in found if is_among(only, name) and not (leave_out and is_among(leave_out, name))]
    if not names:
        raise ValueError(f"no sequence of {root} is left: --only and --leave-out name the same ones")
    return [_sequence(root / name, found[name]) for name in names]


def _pictures(folder: Path) -> dict[int, Path]:
    """The pictures of a folder by number; none where it has no first one."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if _NUMBER.fullmatch(path.stem) and path.suffix.lower() in PHOTOGRAPH_SUFFIXES:
            if int(path.stem) in found:
                raise ValueError(
                    f"{folder} has two pictures of the same number: {found[int(path.stem)].name}, {path.name}"
                )
            found[int(path.stem)] = path
    return found if 1 in found else {}


def _sequence(folder: Path, pictures: dict[int, Path]) -> PictureSequence:
    named = ((_HOMOGRAPHY.fullmatch(path.name), path) for path in folder.iterdir())
    homographies = {int(match[1]): path for match, path in named if match}
    for number in sorted(pictures.keys() - {1}):
        if number not in homographies:
            raise ValueError(f"{folder} has no H_1_{number}, the homography to {pictures[number].name}")
    for number in sorted(homographies.keys() - {1}):
        if number not in pictures:
            raise ValueError(f"{folder} has {homographies[number].name} but no picture {number}")
    if len(pictures) < 2:
        raise ValueError(f"{folder} has one picture: {EXPECTED}")
    for path in pictures.values():
        try:
            check_photograph(path)
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
    others = ((pictures[number], read_homography(homographies[number])) for number in sorted(pictures.keys() - {1}))
    return PictureSequence(name=folder.name, first=pictures[1], others=tuple(others))


def read_homography(path: Path) -> np.ndarray:
    """Nine numbers of a text file, [3, 3] float64. Raises ValueError if they make no homography."""
    try:
        matrix = np.array([line.split() for line in read_text(path).splitlines() if line.strip()], np.float64)
    except ValueError:
        matrix = np.zeros(0)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < 3:
        raise ValueError(f"{path} is not a homography: expected three lines of three numbers")
    return matrix
