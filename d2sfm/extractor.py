"""One picture to Features, at one scale or several (paper, section 4.2; the published pyramid).

extractor = Extractor()
features = extractor.extract(image)          # uint8 [H, W, 3] RGB, or the path of a photograph
"""

import json
import math
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d2sfm.coordinates import (
    Size,
    coarse_from_fine_grid,
    image_from_input,
    input_from_level,
    level_from_grid,
    resize_factor,
)
from d2sfm.detection import detect, localise
from d2sfm.device import resolve_device
from d2sfm.features import Features
from d2sfm.network import MIN_EDGE_PX, Trunk
from d2sfm.options import Convention, ExtractionOptions
from d2sfm.preprocess import input_size, normalise, resize
from d2sfm.sampling import inside, resample, sample
from d2sfm.weights import digest, load_weights


class Level(NamedTuple):
    """What a pyramid level hands to the next finer one."""

    size: Size  # pixels
    features: Tensor  # [C, h, w], already the sum over this and all coarser levels
    banned: Tensor  # [h, w] bool: detected here or at any coarser level


class LevelKeypoints(NamedTuple):
    """Keypoints of one level."""

    xy_in_level: np.ndarray  # [N, 2] float64
    cells: np.ndarray  # [N, 2] int64 (row, column), before the sub-pixel step
    responses: np.ndarray  # [N] float32
    descriptors: np.ndarray  # [N, 512] float32, unit length


class Extractor:
    """The network with its options, loaded once and used for any number of pictures.

    Raises ValueError or FileNotFoundError for weights or a device that can't be had.
    """

    def __init__(self, options: ExtractionOptions | None = None):
        self.options = options or ExtractionOptions()
        self.device = resolve_device(self.options.device)
        weights = load_weights(self.options.weights, self.options.preprocessing)
        self.weights_digest = digest(weights)
        self.trunk = Trunk(weights, relu=self.options.relu).to(self.device)

    @property
    def fingerprint(self) -> str:
        """The settings that decide the features, as a JSON object; equal fingerprints mean comparable features."""
        options = self.options
        settings = {
            "extractor": "d2sfm",
            "weights": self.weights_digest,
            "scales": sorted(options.scales),
            "max_edge": options.max_edge,
            "max_sum_edges": options.max_sum_edges,
            "max_keypoints": options.max_keypoints,
            "preprocessing": options.preprocessing,
            "relu": options.relu,
            "precision": options.precision,
            "convention": options.convention,
        }
        return json.dumps(settings)

    def input_size(self, image_size: Size) -> Size:
        """Size of the network input for a photograph of this size, both (width, height) in pixels."""
        return input_size(image_size, self.options.max_edge, self.options.max_sum_edges)

    @torch.inference_mode()
    def extract(self, image: np.ndarray | str | PathLike) -> Features:
        """Features of a picture, highest score first; equal scores in order of (row, column).

        image: uint8 [H, W, 3] RGB, or the path of a photograph, read on COLMAP's pixel grid.
        Raises ValueError for another shape or dtype, a file that is damaged or no photograph, or a picture below 8 px
        on an edge at all scales; FileNotFoundError where there is no such file.
        """
        if not isinstance(image, np.ndarray):
            from d2sfm.images import check_photograph, read_photograph  # pycolmap, which a bare GPU node may lack

            check_photograph(Path(image))
            image = read_photograph(Path(image))
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
        image_size = (image.shape[1], image.shape[0])
        size = self.input_size(image_size)
        levels = level_sizes(size, self.options.scales)
        if not levels:
            raise ValueError(
                f"picture of {image_size[0]} x {image_size[1]} px is {size[0]} x {size[1]} px at the network's input, "
                f"which needs {MIN_EDGE_PX} px on both edges"
            )
        picture = normalise(resize(image, size), self.options.preprocessing).to(self.device)
        keypoints, cells, descriptors = self._pyramid(picture, levels)

        convention = self.options.convention
        keypoints[:, :2] = image_from_input(keypoints[:, :2], size, image_size, convention)
        if convention is Convention.COLMAP:
            keypoints[:, 2] *= resize_factor(size, image_size)
        order = np.lexsort((cells[:, 1], cells[:, 0], -keypoints[:, 3]))[: self.options.max_keypoints]
        return Features(
            keypoints=keypoints[order].astype(np.float32),
            descriptors=descriptors[order],
            image_size=image_size,
            input_size=size,
            convention=convention,
            scales=tuple(sorted(self.options.scales)),
        )

    def _pyramid(self, picture: Tensor, levels: list[tuple[float, Size]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keypoints [N, 4] (x, y in the input, 1 / scale, score), cells [N, 2] and descriptors of all levels."""
        size, convention = (picture.shape[3], picture.shape[2]), self.options.convention
        keypoints, cells, descriptors = [], [], []
        coarser = None
        for index, (scale, level_size) in enumerate(levels):
            resized = picture
            if level_size != size:
                resized = F.interpolate(picture, size=level_size[::-1], mode="bilinear", align_corners=True)
            coarser, found = self._level(resized, coarser)
            xy = input_from_level(found.xy_in_level, level_size, size, convention)
            # A coarser level weighs more: its response holds fewer summed maps (published pyramid).
            score = found.responses / (index + 1)
            keypoints.append(np.column_stack([xy, np.full(len(xy), 1 / scale), score]))
            cells.append(found.cells)
            descriptors.append(found.descriptors)
        return np.concatenate(keypoints), np.concatenate(cells), np.concatenate(descriptors)

    def _level(self, picture: Tensor, coarser: Level | None) -> tuple[Level, LevelKeypoints]:
        size = (picture.shape[3], picture.shape[2])
        features = self.trunk(picture)[0]
        banned = None
        if coarser is not None:
            features = features + self._upsampled(coarser, features.shape[1:], size)
            banned = F.interpolate(coarser.banned[None, None].float(), size=features.shape[1:])[0, 0].bool()
        found = detect(features, banned)
        level = Level(size, features, torch.zeros_like(features[0], dtype=torch.bool) if banned is None else banned)
        level.banned[found.cells[:, 0], found.cells[:, 1]] = True

        refined, stable = localise(features, found)
        keep = stable & inside(refined, *features.shape[1:])
        refined = refined[keep]
        return level, LevelKeypoints(
            xy_in_level=level_from_grid(refined.double().cpu().numpy(), self.options.convention),
            cells=found.cells[keep].cpu().numpy(),
            responses=found.responses[keep].float().cpu().numpy(),
            descriptors=F.normalize(sample(features, refined).float(), dim=1).cpu().numpy(),
        )

    def _upsampled(self, coarser: Level, shape: tuple[int, int], size: Size) -> Tensor:
        """The coarser level's features on this level's grid of ``shape`` (rows, columns); ``size`` in pixels.

        The published code stretches the maps corner to corner; ``colmap`` samples at the exact position.
        """
        positions = []
        for axis, count in enumerate(shape):
            fine = torch.arange(count, dtype=torch.float64, device=self.device)
            if self.options.convention is Convention.REFERENCE:
                coarse = fine * ((coarser.features.shape[axis + 1] - 1) / max(count - 1, 1))
            else:
                coarse = coarse_from_fine_grid(fine, size[1 - axis], coarser.size[1 - axis])
            positions.append(coarse)
        return resample(coarser.features, *positions)


def level_sizes(size: Size, scales: tuple[float, ...]) -> list[tuple[float, Size]]:
    """Scales in ascending order with the size of their level in pixels, rounded down; those too small are left out."""
    levels = []
    for scale in sorted(scales):
        exact = Fraction(str(scale))  # as written: 0.29 * 100 is below 29 in binary
        level_size = (math.floor(size[0] * exact), math.floor(size[1] * exact))
        if min(level_size) >= MIN_EDGE_PX:
            levels.append((scale, level_size))
    return levels
