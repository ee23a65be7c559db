"""Which pairs of photographs an epoch trains on: drawn from a seed, the same in every process and every run."""

import logging
from typing import NamedTuple

import numpy as np

from d2sfm.training.scene_info import SceneInfo
from d2sfm.training.scene_info_file import read_scene_info
from d2sfm.training.scenes import TrainingScene

logger = logging.getLogger(__name__)


class Draw(NamedTuple):
    """One training pair: its scene and images as indices, and (x, y) in each of the point that the crops are centred
    on, in COLMAP's frame."""

    scene: int
    image1: int
    image2: int
    xy1: tuple[float, float]
    xy2: tuple[float, float]


def draw_epoch(
    scenes: list[TrainingScene], pairs_per_scene: int, max_scale_ratio: float, seed: int, epoch: int
) -> list[Draw]:
    """The pairs of an epoch: as many of each scene, drawn with replacement, all scenes shuffled together.

    A scene without eligible pairs gives none, nor does a pair without such a point, which the scene's matrices
    contradict. The same arguments give the same list.
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
                    logger.warning("%s contradicts itself, so pairs are left out: %s share no point", scene.path, names)
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
