"""Published sets of hard pairs: with clicked points (WxBS), and with poses (SuperGlue's lists)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.files import read_text
from d2sfm.options import PairHalf
from d2sfm.photographs.headers import PHOTOGRAPH_SUFFIXES
from d2sfm.text import one_line

POINTS = "corrs.txt"
NUMBERS = 36  # of a pair in a list: two turns, two 3x3 and one 4x4 matrix
LAYOUT = f"WxBS's layout is NAME or CATEGORY/NAME with 01.*, 02.* and {POINTS}"
TURNED = (1, 8, 3, 6)  # EXIF's orientations that turn a picture as numpy.rot90 does, by quarters


@dataclass(frozen=True, kw_only=True)
class HardPair:
    """Two pictures, and the truth about them.

    name: of the pair. paths: of both pictures.
    points: [N, 4], x, y of points that belong together, clicked by hand; or else ``intrinsics``, 3x3 matrices of both,
        and ``b_from_a``, the relative pose, 4x4. Positions are in pixels with pixel centres at integers.
    orientations: EXIF's, that make the pictures upright; None for those in their files.
    """

    name: str
    paths: tuple[Path, Path]
    points: np.ndarray | None = None
    intrinsics: tuple[np.ndarray, np.ndarray] | None = None
    b_from_a: np.ndarray | None = None
    orientations: tuple[int, int] | None = None


def read_pairs(path: Path, images: Path | None = None, half: PairHalf | None = None) -> list[HardPair]:
    """The pairs below a folder of WxBS's layout, by name, or those of a list of SuperGlue's, in its order.

    images: folder that names in a list are relative to (default: the list's own). half: every other pair, from the
    first one or the second one on.

    Raises FileNotFoundError if something is missing, ValueError for files of another layout.
    """
    if path.is_dir():
        if images is not None:
            raise ValueError("--images goes with a list of pairs, not with a folder of them")
        pairs = _of_folder(path)
    elif path.is_file():
        pairs = list(_of_list(path, images or path.parent))
    else:
        raise FileNotFoundError(f"no pairs {path}: expected a folder in WxBS's layout or a list of SuperGlue's")
    if not pairs:
        raise ValueError(f"{path} holds no pairs" + (f": {LAYOUT}" if path.is_dir() else ""))
    if half is None:
        return pairs
    half = PairHalf(half)
    if len(pairs) == 1:
        raise ValueError(f"{path} holds one pair, and has no {half} half")
    return pairs[half is PairHalf.SECOND :: 2]


def _of_folder(root: Path) -> list[HardPair]:
    found = [points for pattern in (POINTS, f"*/{POINTS}", f"*/*/{POINTS}") for points in root.glob(pattern)]
    return sorted((_clicked(root, points) for points in found), key=lambda pair: pair.name)


def _clicked(root: Path, points: Path) -> HardPair:
    folder = points.parent
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    return HardPair(name=name, paths=(_picture(folder, "01"), _picture(folder, "02")), points=_points(points))


def _picture(folder: Path, stem: str) -> Path:
    found = sorted(path for path in folder.glob(f"{stem}.*") if path.suffix.lower() in PHOTOGRAPH_SUFFIXES)
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} has {len(found)} pictures {stem}.*, expected one: {LAYOUT}")
    return found[0]


def _points(path: Path) -> np.ndarray:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            row = _numbers(line.split())
            if row is None or len(row) != 4:
                raise ValueError(f"{path}, line {number}: expected x1 y1 x2 y2, found {one_line(line, 60)!r}")
            rows.append(row)
    if not rows:
        raise ValueError(f"{path} holds no points")
    return np.array(rows)


def _of_list(path: Path, images: Path) -> Iterator[HardPair]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        *names, rest = line.split(maxsplit=2)
        values = _numbers(rest.split())
        if len(names) != 2 or values is None or len(values) != NUMBERS:
            raise ValueError(
                f"{path}, line {number}: expected name0 name1 rot0 rot1 K0 (9 numbers) K1 (9) T_0to1 (16), found "
                f"{one_line(line, 60)!r}"
            )
        yield _posed(f"{path}, line {number}", names, values, images)


def _posed(where: str, names: Sequence[str], values: np.ndarray, images: Path) -> HardPair:
    turns, first, second, pose = (
        values[:2],
        *(values[start : start + 9].reshape(3, 3) for start in (2, 11)),
        values[20:],
    )
    pose, paths = pose.reshape(4, 4), tuple(images / name for name in names)
    if not np.isin(turns, range(4)).all():
        raise ValueError(f"{where}: expected turns of 0 to 3 quarters, found {turns[0]:g} and {turns[1]:g}")
    if not all(matrix[0, 0] > 0 and matrix[1, 1] > 0 and (matrix[2] == (0, 0, 1)).all() for matrix in (first, second)):
        raise ValueError(f"{where}: expected matrices K with focal lengths above 0 and 0 0 1 below")
    if not np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-3) or np.linalg.det(pose[:3, :3]) < 0:
        raise ValueError(f"{where}: expected a pose T_0to1 of a rotation and a translation")
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{where}: no picture {path} (--images is the folder of the pictures)")
    return HardPair(
        name=" - ".join(names),
        paths=paths,
        intrinsics=(first, second),
        b_from_a=pose,
        orientations=tuple(TURNED[int(turn)] for turn in turns),
    )


def _numbers(words: Sequence[str]) -> np.ndarray | None:
    """Finite numbers, [N] float64; None if a word is not one."""
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None
