"""Keypoints of all scales of a picture, computed in strips of rows from the top (paper, section 4.2).

A level adds the coarser level's features to its own before it detects, and leaves out the cells that a coarser level
detected. Only a few rows of each level are in memory: the finest level requests rows of the coarser ones, which go down
just as far as needed.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d2sfm.coordinates import CELL_PX, Size, coarse_from_fine_grid
from d2sfm.features.detection import Detections, detect, localise
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.network.input import normalise_batch
from d2sfm.network.sampling import inside, resample, sample
from d2sfm.network.strips import TrunkStrips
from d2sfm.network.trunk import MIN_EDGE_PX, Trunk
from d2sfm.options import Convention, Preprocessing


class StripKeypoints(NamedTuple):
    """Keypoints of some rows of a level of one picture, on the device."""

    cells: Tensor  # [N, 2] int64 (row, column)
    steps: Tensor  # [N, 2] float32: the sub-pixel position is cells + steps
    responses: Tensor  # [N] float32
    descriptors: Tensor  # [N, 512], unit length


class KeypointTable(NamedTuple):
    """Keypoints of a level of one picture, without descriptors."""

    cells: np.ndarray  # [N, 2] float64 (row, column)
    steps: np.ndarray  # [N, 2] float64
    responses: np.ndarray  # [N] float64


def table_of(strips: list[StripKeypoints]) -> KeypointTable:
    """The keypoints of all strips of a level."""
    # Stacked on the device: one copy from a GPU instead of three for each strip.
    parts = [torch.column_stack([strip.cells, strip.steps, strip.responses]).double() for strip in strips]
    table = torch.cat(parts).cpu().numpy()
    return KeypointTable(table[:, :2], table[:, 2:4], table[:, 4])


def descriptors_in_order(strips: list[list[StripKeypoints]], order: np.ndarray) -> np.ndarray:
    """Descriptors of the strips of all levels, [len(order), 512], by their place in the whole."""
    parts = [strip.descriptors for of_level in strips for strip in of_level]
    if parts[0].is_cuda:
        parts = [torch.cat(parts).cpu()]  # one copy; on a CPU a second one of all would take memory
    rank = np.full(sum(map(len, parts)), -1)
    rank[order] = np.arange(len(order))
    descriptors = np.empty((len(order), DESCRIPTOR_SIZE), str(parts[0].dtype).removeprefix("torch."))
    begin = 0
    for part in parts:
        of_part = rank[begin : begin + len(part)]
        descriptors[of_part[of_part >= 0]] = part.numpy()[of_part >= 0]
        begin += len(part)
    return descriptors


def level_sizes(size: Size, scales: tuple[float, ...]) -> list[tuple[float, Size]]:
    """Scales in ascending order with the size of their level in pixels, rounded down; those too small are left out."""
    levels = []
    for scale in sorted(scales):
        exact = Fraction(str(scale))  # as written: 0.29 * 100 is below 29 in binary
        level_size = (math.floor(size[0] * exact), math.floor(size[1] * exact))
        if min(level_size) >= MIN_EDGE_PX:
            levels.append((scale, level_size))
    return levels


class LevelPictures:
    """Pictures of one size, scaled to a level's size corner to corner (align_corners=True), strip by strip.

    pictures: arrays [H, W, 3] uint8 of one shape; size: (width, height) of the level in pixels.
    """

    def __init__(self, pictures: list[np.ndarray], size: Size, preprocessing: Preprocessing, device: torch.device):
        self.size, self.count, self.device = size, len(pictures), device
        self._pictures, self._preprocessing = pictures, preprocessing

    def rows(self, begin: int, end: int) -> Tensor:
        """Rows of the level, normalised: [B, 3, end - begin, width] float32."""
        height, width = self._pictures[0].shape[:2]
        if self.size == (width, height):
            return self._normalised(begin, end)
        rows, columns = (
            torch.arange(first, last, dtype=torch.float64) * ((full - 1) / (edge - 1))
            for first, last, full, edge in ((begin, end, height, self.size[1]), (0, self.size[0], width, self.size[0]))
        )
        top = int(rows[0])
        strip = self._normalised(top, min(int(rows[-1]) + 2, height))
        return resample(strip, (rows - top).to(self.device), columns.to(self.device))

    def _normalised(self, begin: int, end: int) -> Tensor:
        strip = torch.from_numpy(np.stack([picture[begin:end] for picture in self._pictures]))
        if self.device.type == "cuda":
            strip = strip.pin_memory().to(self.device, non_blocking=True)
        return normalise_batch(strip, self._preprocessing)


class Level:
    """One scale of pictures of one size, computed as far down as requested.

    coarser: the next coarser level; convention: see ``coordinates``; strip_px: rows of the level that enter the
    network at a time; descriptor_dtype: type of the descriptors that are kept; on_rows: see ``TrunkStrips``.
    """

    def __init__(
        self,
        pictures: LevelPictures,
        trunk: Trunk,
        coarser: "Level | None",
        *,
        convention: Convention,
        strip_px: int,
        descriptor_dtype: torch.dtype,
        on_rows: Callable[[str, Tensor], None] = lambda name, rows: None,
    ):
        self.size = pictures.size
        self.shape = (self.size[1] // CELL_PX - 1, self.size[0] // CELL_PX - 1)  # rows and columns of the map
        self.keypoints: list[list[StripKeypoints]] = [[] for _ in range(pictures.count)]  # of each, from the top
        self._pictures, self._trunk, self._coarser = pictures, trunk, coarser
        self._strips = TrunkStrips(trunk.layers(), on_rows)
        self._convention, self._strip_px, self._descriptor_dtype = convention, strip_px, descriptor_dtype
        self._next_px = 0  # first row of the pictures that has not entered the network
        self._features: Tensor | None = None  # some rows of the sum over this and all coarser levels, [B, C, h, w] ...
        self._begin = self._end = 0  # ... and which they are
        self._detected = 0  # rows in which it is known what is a keypoint
        # Cells that were detected here or at any coarser level.
        self._taken = torch.zeros(pictures.count, *self.shape, dtype=torch.bool, device=pictures.device)
        self._asked: int | None = None  # the lowest row that a finer level may still ask for
        if coarser is not None:
            coarser._asked = 0

    def finish(self) -> None:
        """Detect in all rows."""
        while self._detected < self.shape[0]:
            self._advance()

    def features(self, begin: int, end: int) -> Tensor:
        """Rows of the summed map, [B, C, end - begin, w]; those above ``begin`` can no longer be requested."""
        while self._end < end:
            self._advance()
        self._asked = begin
        return self._features[:, :, begin - self._begin : end - self._begin]

    def taken(self, begin: int, end: int) -> Tensor:
        """Rows of the mask of cells that finer levels leave out, [B, end - begin, w] bool."""
        while self._detected < end:
            self._advance()
        return self._taken[:, begin:end]

    def _advance(self) -> None:
        """One more strip: network, sum with the coarser level, detection in the rows that this completes."""
        begin, height = self._next_px, self.size[1]
        self._next_px = min(begin + self._strip_px, height)
        rows = self._pictures.rows(begin, self._next_px).to(self._trunk.dtype)
        # Whatever the network's precision, sums and interpolation are float32.
        features = self._strips.push(rows, last=self._next_px == height).float()
        if not features.shape[2]:
            return
        if self._coarser is not None:
            features = features + self._from_coarser(self._end, self._end + features.shape[2])
        self._append(features)
        # The 3x3 test needs the row below.
        decided = self._end if self._end == self.shape[0] else self._end - 1
        if decided > self._detected:
            self._detect(self._detected, decided)

    def _append(self, features: Tensor) -> None:
        """Add rows at the bottom, and free those that neither detection nor the finer level needs any more."""
        if self._features is None:
            self._features = features
        else:
            needed = max(0, self._detected - 1) if self._asked is None else min(max(0, self._detected - 1), self._asked)
            self._features = torch.cat([self._features[:, :, needed - self._begin :], features], dim=2)
            self._begin = needed
        self._end += features.shape[2]

    def _from_coarser(self, begin: int, end: int) -> Tensor:
        """The coarser level's features on these rows of this level's grid.

        The published code stretches the maps corner to corner; ``colmap`` samples at the exact position.
        """
        coarser, positions = self._coarser, []
        for axis, (first, last) in enumerate(((begin, end), (0, self.shape[1]))):
            fine = torch.arange(first, last, dtype=torch.float64)
            if self._convention is Convention.REFERENCE:
                coarse = fine * ((coarser.shape[axis] - 1) / max(self.shape[axis] - 1, 1))
            else:
                coarse = coarse_from_fine_grid(fine, self.size[1 - axis], coarser.size[1 - axis])
            positions.append(coarse.clamp(0, coarser.shape[axis] - 1))
        top, bottom = int(positions[0][0]), min(int(positions[0][-1]) + 2, coarser.shape[0])
        features = coarser.features(top, bottom)
        return resample(features, *(each.to(features.device) for each in (positions[0] - top, positions[1])))

    def _detect(self, begin: int, end: int) -> None:
        """Find the keypoints of these rows."""
        if self._coarser is not None:
            self._taken[:, begin:end] = self._taken_by_coarser(begin, end)
        candidates = torch.zeros_like(self._taken[:, self._begin : self._end])
        candidates[:, begin - self._begin : end - self._begin] = ~self._taken[:, begin:end]
        for picture, features in enumerate(self._features):
            found = detect(features, candidates[picture])
            self._taken[picture, self._begin + found.cells[:, 0], found.cells[:, 1]] = True
            self.keypoints[picture].append(self._describe(features, found))
        self._detected = end

    def _describe(self, features: Tensor, found: Detections) -> StripKeypoints:
        """Localise detections in the rows in memory of one picture, and sample their descriptors."""
        steps, stable = localise(features, found)
        refined = found.cells + steps
        in_map = torch.column_stack([refined[:, 0] + self._begin, refined[:, 1]])
        keep = stable & inside(in_map, *self.shape)
        rows, columns = found.cells[keep].unbind(1)
        return StripKeypoints(
            torch.column_stack([rows + self._begin, columns]),
            steps[keep],
            found.responses[keep],
            F.normalize(sample(features, refined[keep]), dim=1).to(self._descriptor_dtype),
        )

    def _taken_by_coarser(self, begin: int, end: int) -> Tensor:
        """The coarser level's detections on these rows of this level's grid, by the nearest-neighbour rule of torch."""
        rows, columns = (
            # In float32, as torch computes it: the published code's masks are those.
            (torch.arange(first, last).float() * np.float32(coarse / fine)).long().clamp(max=coarse - 1)
            for first, last, coarse, fine in (
                (begin, end, self._coarser.shape[0], self.shape[0]),
                (0, self.shape[1], self._coarser.shape[1], self.shape[1]),
            )
        )
        top = int(rows[0])
        taken = self._coarser.taken(top, int(rows[-1]) + 1)
        return taken[:, (rows - top).to(taken.device)][:, :, columns.to(taken.device)]
