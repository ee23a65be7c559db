"""The scenes of a run: which of the requested ones can be trained on, and which of their pairs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.options import PairOptions
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.text import counted
from d2sfm.training.scene_info import SceneInfo
from d2sfm.training.scene_info_file import read_scene_info

LOOKED_FOR = 10  # photographs of a scene

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingScene:
    """What training keeps of a scene: its cameras, and which pairs may be drawn. Points stay on disk between draws.

    image_paths, depth_paths: [n] str, relative to the dataset; intrinsics: [n, 3, 3]; poses: [n, 4, 4] cam_from_world;
    pairs: [P, 2] int64.
    """

    path: Path
    image_paths: np.ndarray
    depth_paths: np.ndarray
    intrinsics: np.ndarray
    poses: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Scenes:
    """Scenes with pairs to draw, and the reason for each that was left out, by its name.

    root: the dataset that the scenes' paths are relative to; options: which of their pairs are drawn and cropped.
    """

    root: Path
    options: PairOptions
    usable: list[TrainingScene]
    left_out: Skipped


def load_scenes(folder: Path, names: Sequence[str], root: Path, options: PairOptions, progress: bool = False) -> Scenes:
    """Read the scene info ``folder/<name>.npz`` of each scene.

    root: the dataset that the scenes' photographs belong to. A scene that is missing, damaged, of another dataset, or
    has no pair within the options' limits, is left out, with a line in the log.

    Raises FileNotFoundError if a folder is missing, ValueError if no scene is left.
    """
    for path, what in ((folder, "scene info"), (root, "dataset")):
        if not path.is_dir():
            raise FileNotFoundError(f"no folder {path} ({what})")
    usable, left_out = [], Skipped()
    for name in Bar(names, desc="scenes", unit="scene", disable=not progress, leave=False):
        with left_out.catching(name):
            scene = load_scene(folder / f"{name}.npz", options)
            _check(scene, root, options)
            usable.append(scene)
    if not usable:
        raise ValueError(_nothing_usable(folder, left_out))
    _tell_left_out(folder, left_out, len(names))
    return Scenes(root, options, usable, left_out)


def load_scene(path: Path, options: PairOptions) -> TrainingScene:
    """Read a scene info file and choose the pairs that the options allow. Errors as ``read_scene_info``."""
    info = read_scene_info(path)
    pairs = eligible_pairs(info, options)
    return TrainingScene(path, info.image_paths, info.depth_paths, info.intrinsics, info.poses, pairs)


def eligible_pairs(info: SceneInfo, options: PairOptions) -> np.ndarray:
    """Pairs with common points whose overlap and scale ratio lie within the options' limits, [P, 2] int64.

    Overlap is not symmetric: both orders of a pair are judged, and drawn, by themselves.
    """
    overlap = info.overlap_matrix
    # Without common points the overlap is 0 or -1, which --min-overlap 0 would let in.
    within = (overlap > 0) & (overlap >= options.min_overlap) & (overlap <= options.max_overlap)
    return np.argwhere(within & (info.scale_ratio_matrix <= options.max_scale_ratio))


def _check(scene: TrainingScene, root: Path, options: PairOptions) -> None:
    """Raise ValueError if a scene has no pair to draw, or is of another dataset."""
    if not len(scene.pairs):
        limit = options.max_scale_ratio
        ratio = f" and a scale ratio up to {limit:g}" if limit < float("inf") else ""
        raise ValueError(f"no pair with an overlap of {options.min_overlap:g} to {options.max_overlap:g}{ratio}")
    # A few photographs tell another dataset's root; files that are missing here and there are met when they are read.
    paths = [str(scene.image_paths[image]) for image in np.unique(scene.pairs)[:LOOKED_FOR]]
    if not any((root / path).is_file() for path in paths):
        raise ValueError(f"{scene.path} is of another dataset: its {paths[0]} is not below {root}")


def _tell_left_out(folder: Path, left_out: dict[str, str], total: int) -> None:
    missing = [name for name in left_out if not (folder / f"{name}.npz").exists()]
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        count = f"{len(missing)} of {counted(total, 'scene')}"
        logger.warning("left out, without a file in %s: %s (%s)", folder, count, some)
    for name, reason in left_out.items():
        if name not in missing:
            logger.warning("scene %s is left out: %s", name, reason)


def _nothing_usable(folder: Path, left_out: dict[str, str]) -> str:
    """One line for the most frequent mistakes: a wrong folder, and scenes that are not the paper's."""
    there = sorted(path.stem for path in folder.glob("*.npz"))
    name, reason = next(iter(left_out.items()))
    message = f"no pair to draw from {counted(len(left_out), 'scene')}; {name}: {reason}"
    if there and not set(there) & set(left_out):
        return (
            f"{message}; {folder} holds {counted(len(there), 'other scene')}, as {there[0]}: list those to train on in "
            "a file for --train-scenes"
        )
    return message
