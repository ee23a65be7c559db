"""Which pairs of photographs an epoch trains on: drawn from a seed, the same in every process and every run."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.options import PairOptions
from d2sfm.training.scene_info import SceneInfo, read_scene_info

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


class Draw(NamedTuple):
    """One training pair: its scene and images as indices, and (x, y) in each of the point that the crops are centred
    on, in COLMAP's frame."""

    scene: int
    image1: int
    image2: int
    xy1: tuple[float, float]
    xy2: tuple[float, float]


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


def draw_epoch(
    scenes: list[TrainingScene], pairs_per_scene: int, max_scale_ratio: float, seed: int, epoch: int
) -> list[Draw]:
    """The pairs of an epoch: as many of each scene, drawn with replacement, all scenes shuffled together.

    A scene without eligible pairs gives none, nor does a pair that has no such point against what the scene's matrices
    say. The same arguments give the same list.
    """
    generator = np.random.default_rng([seed, epoch])
    draws = []
    for index, scene in enumerate(scenes):
        if len(scene.pairs):
            info = read_scene_info(scene.path)
            for image1, image2 in scene.pairs[generator.integers(len(scene.pairs), size=pairs_per_scene)].tolist():
                centres = _common_point(info, image1, image2, max_scale_ratio, generator)
                if centres:
                    draws.append(Draw(index, image1, image2, *centres))
                else:
                    names = " - ".join(str(info.image_names[image]) for image in (image1, image2))
                    logger.warning("%s contradicts itself: %s share no point; they are left out", scene.path, names)
    return [draws[position] for position in generator.permutation(len(draws))]


def _common_point(
    info: SceneInfo, image1: int, image2: int, max_scale_ratio: float, generator: np.random.Generator
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """A point that both images see at scales within the ratio: (x, y) in each, in COLMAP's frame; None without any."""
    ids1, xy1, scale1 = info.points(image1)
    ids2, xy2, scale2 = info.points(image2)
    _, rows1, rows2 = np.intersect1d(ids1, ids2, assume_unique=True, return_indices=True)
    ratio = scale1[rows1] / scale2[rows2]
    # The matrix has the ratio of one order of the two images; rounding may differ in the other.
    allowed = np.flatnonzero(np.maximum(ratio, 1 / ratio) <= max_scale_ratio * (1 + 1e-9))
    if not len(allowed):
        return None
    chosen = allowed[generator.integers(len(allowed))]
    return tuple(xy1[rows1[chosen]].tolist()), tuple(xy2[rows2[chosen]].tolist())
