"""Known poses: of a COLMAP model, or of a list as in localization benchmarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pycolmap

from d2sfm.colmap import placed_images, read_model
from d2sfm.files import read_text
from d2sfm.text import first_of, one_line


def read_poses(path: Path) -> dict[str, pycolmap.Rigid3d]:
    """World to camera by name: the images of the model in a folder, or lines "name qw qx qy qz tx ty tz" of a file.

    Raises FileNotFoundError if it is missing, RuntimeError for a model that can't be read, ValueError for other lines,
    names that are twice in a list, and a list without poses.
    """
    if path.is_dir():
        model = read_model(path)  # which owns the images
        poses = {image.name: image.cam_from_world() for image in placed_images(model)}
    else:
        poses = _of_list(path)
    if not poses:
        raise ValueError(f"{path} holds no poses")
    return poses


def require_common(found: Mapping, truth: Mapping, of_found: Path, of_truth: Path) -> None:
    """ValueError if no name is in both, with what the names look like."""
    if found.keys() & truth.keys():
        return
    ours, theirs = next(iter(found)), next(iter(truth))
    short = {PurePosixPath(name).name for name in found} & {PurePosixPath(name).name for name in truth}
    hint = f", though base names are alike ({min(short)})" if short else ""
    raise ValueError(
        f"{of_found} ({ours!r} the first) and {of_truth} ({theirs!r} the first) have no name in common{hint}: expected "
        "the same names"
    )


def _of_list(path: Path) -> dict[str, pycolmap.Rigid3d]:
    if not path.is_file():
        raise FileNotFoundError(f"no poses {path}: expected a list or the folder of a COLMAP model")
    poses, double = {}, []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *words = line.rsplit(maxsplit=7)
        pose = _pose(words)
        if pose is None:
            raise ValueError(f"{path}, line {number}: expected name qw qx qy qz tx ty tz, found {one_line(line, 60)!r}")
        if name in poses:
            double.append(name)
        poses[name] = pose
    if double:
        raise ValueError(f"{path} has several poses of {first_of(double, 'image')}")
    return poses


def _pose(words: Sequence[str]) -> pycolmap.Rigid3d | None:
    """From seven numbers, of which the first four are a quaternion; None if they are not."""
    try:
        w, x, y, z, *translation = map(float, words)
    except ValueError:
        return None
    length = np.linalg.norm([w, x, y, z])
    if len(translation) != 3 or not np.isfinite([length, *translation]).all() or not 0.5 < length < 2:
        return None
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w]) / length), np.array(translation))
