"""Observations of tracks made exact by the grey values of the photographs at their own resolution.

Where feature maps have put a keypoint to a fraction of their cells, the photograph itself tells the rest: its grey
values are aligned with those around the reference of the track. What does not come out surely stays where it was.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from d2sfm.coordinates import input_from_image
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.grey_levels import FINER, GreyLevels, step_px
from d2sfm.refinement.least_squares import Window, align_patches, sample
from d2sfm.refinement.patch_store import PatchStore
from d2sfm.refinement.schedule import Part
from d2sfm.refinement.tracks import Tracks, warps_from_reference

# On octaves with pixels of about the network's input, then at the photograph's own resolution.
COARSE, FINE = (Window(15, 5, False, 5),), (Window(21, 7, False, 2), Window(31, 10, True, 12))
PATCH_SIDE = 33  # the largest window and a step around it, for derivatives
LARGEST_LEVEL = 8  # that differences of scale ask for
LARGEST_LAST_STEP_PX = 0.05  # of the photograph
AT_ONCE = 256  # patches that are aligned together

LevelsOf = Callable[[int], GreyLevels]  # of the image of that number


class Acceptance(NamedTuple):
    """What is taken for exact."""

    largest_move_px: float  # of the network's input
    least_correlation: float
    largest_sigma_px: float  # of the photograph


ACCEPTANCE = Acceptance(1.0, 0.85, 0.37)
OF_PREDICTED = Acceptance(4.0, 0.9, 0.25)  # of positions without a keypoint of their own, that are known less well


class Observations(NamedTuple):
    """What is known of M observations in one image: where they lie, and how sure that is."""

    xy: np.ndarray  # [M, 2] pixels of the upright photograph, COLMAP's frame
    warps: np.ndarray  # [M, 2, 2] from the reference's photograph to this one, for offsets (x, y)
    last_step: np.ndarray  # [M] pixels of the photograph
    correlation: np.ndarray  # [M]
    sigma: np.ndarray  # [M] predicted standard deviation in pixels of the photograph

    @classmethod
    def at(cls, xy: np.ndarray, warps: np.ndarray) -> "Observations":
        """Where nothing was aligned yet. The arrays are copied."""
        unknown = np.full(len(xy), np.inf)
        return cls(xy.copy(), warps.copy(), unknown, np.zeros(len(xy)), unknown.copy())

    def accepted(self, start: np.ndarray, input_px: np.ndarray, acceptance: Acceptance) -> np.ndarray:
        """Which are exact, [M] bool. start: [M, 2] where they were before; input_px: [M] pixels of the photograph for
        one of the network's input."""
        moved = np.linalg.norm(self.xy - start, axis=1) < acceptance.largest_move_px * input_px
        alike = moved & (self.correlation > acceptance.least_correlation)
        return alike & (self.last_step < LARGEST_LAST_STEP_PX) & (self.sigma < acceptance.largest_sigma_px)


class GreyAdjustment:
    """Aligns the nodes of tracks with their references by grey values.

    xy: [N, 2] where the nodes lie by now, in pixels of their inputs; warps: as of ``photograph_warps``. levels_of:
    levels of an image, by its number in the collection. They are asked for picture by picture. nodes: those that are
    to be aligned. slots, folder: as for ``Adjustment``. are_predicted: the nodes have no keypoint, so their way may be
    longer.
    """

    def __init__(
        self,
        collection: Collection,
        tracks: Tracks,
        xy: np.ndarray,
        warps: np.ndarray,
        levels_of: LevelsOf,
        nodes: np.ndarray,
        slots: int,
        folder: Path | None = None,
        *,
        are_predicted: bool = False,
    ):
        self._images, self._xy, self._levels_of, self._track_of = collection.images, xy, levels_of, tracks.of_node
        self._warps, self._acceptance = warps, OF_PREDICTED if are_predicted else ACCEPTANCE
        self._input_px = _per_input_px(collection).max(axis=1)
        self._octaves = np.floor(np.log2(np.maximum(self._input_px, 1))).astype(int)  # that are gone down first
        self._octaves += are_predicted
        # Steps of a patch are pixels of the coarser photograph, and each has a level of such steps.
        stretch = np.sqrt(np.abs(np.linalg.det(self._warps)))
        self._of_patch = _level(1 / stretch)
        self._of_node = _level(stretch * step_px(self._of_patch))
        self._wanted = self._levels_of_tracks(tracks, nodes)
        shapes = {str(level): (PATCH_SIDE**2, 1) for level in np.flatnonzero(self._wanted.any(axis=0))}
        self._patches = PatchStore(shapes, slots, folder)

    def move(self, part: Part, on_nodes: Callable[[int], object] = lambda count: None) -> np.ndarray:
        """Positions of the nodes of a part and how sure they are, [M, 3]: x, y in pixels of their inputs, predicted
        standard deviation in pixels of the photograph. Nodes that are not accepted, or would leave the photograph,
        stay, and have NaN there.

        on_nodes is called after each visit of a picture with the number of aligned ones.
        """
        found = [np.zeros((0, 3))]
        for visit in part.visits:
            levels = self._levels_of(visit.image)
            found.append(self._exact(levels, visit.image, visit.nodes, visit.slots))
            self._take_in(levels, visit.image, visit.references, visit.reference_slots)
            on_nodes(len(visit.nodes))
        return np.concatenate(found)

    def _levels_of_tracks(self, tracks: Tracks, nodes: np.ndarray) -> np.ndarray:
        """Which levels of its reference these nodes of a track are compared with, [T, levels] bool."""
        levels = 1 + (self._of_patch + 2 * self._octaves)[nodes].max(initial=-1)
        wanted = np.zeros((len(tracks.reference), levels), bool)
        for octave in range(1 + self._octaves[nodes].max(initial=-1)):
            some = nodes[self._octaves[nodes] >= octave]
            wanted[tracks.of_node[some], self._of_patch[some] + 2 * octave] = True
        return wanted

    def _take_in(self, levels: GreyLevels, image: int, references: np.ndarray, slots: np.ndarray) -> None:
        """Keep the patches of references of one image."""
        row, level_of = np.nonzero(self._wanted[self._track_of[references]])
        xy = self._in_photograph(image, references)[row]
        for level, some in _in_chunks(level_of):
            patches = cut_patches(levels, xy[some], level)
            self._patches.put(str(level), slots[row[some]], patches.view(len(some), PATCH_SIDE**2, 1).half())

    def _exact(self, levels: GreyLevels, image: int, nodes: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """As ``move``, of nodes of one image; slots: [M] where the patches of their references are."""
        start = self._in_photograph(image, nodes)
        observations = Observations.at(start, self._warps[nodes])
        for octave in range(self._octaves[nodes].max(initial=0), -1, -1):
            here = np.flatnonzero(self._octaves[nodes] >= octave)
            for level, rows in _in_chunks(self._of_node[nodes[here]] + 2 * octave):
                some = here[rows]
                of_patch = self._of_patch[nodes[some]] + 2 * octave
                patches = self._patches_at(slots[some], of_patch)
                adjust(observations, some, levels, level, patches, of_patch, COARSE if octave else FINE)
        of = self._images[image]
        xy = input_from_image(observations.xy, of.input_size, of.upright_size)
        accepted = observations.accepted(start, self._input_px[nodes], self._acceptance) & of.holds(xy)
        found = np.column_stack([self._xy[nodes], np.full(len(nodes), np.nan)])
        found[accepted, :2] = xy[accepted]
        found[accepted, 2] = observations.sigma[accepted]
        return found

    def _patches_at(self, slots: np.ndarray, levels: np.ndarray) -> Tensor:
        """Patches of references, of a level each, [M, PATCH_SIDE, PATCH_SIDE] float32."""
        patches = torch.empty(len(slots), PATCH_SIDE**2, 1)
        for level in np.unique(levels):
            rows = np.flatnonzero(levels == level)
            patches[rows] = self._patches.get(str(level), slots[rows], patches.device).float()
        return patches.view(len(slots), PATCH_SIDE, PATCH_SIDE)

    def _in_photograph(self, image: int, nodes: np.ndarray) -> np.ndarray:
        return self._images[image].in_upright(self._xy[nodes])


def photograph_warps(collection: Collection, tracks: Tracks) -> np.ndarray:
    """How the surroundings of each node look against those of its track's reference, [N, 2, 2]: offsets (x, y) in
    pixels of the one upright photograph from those of the other."""
    per_input_px = _per_input_px(collection)
    reference, inside = np.arange(len(per_input_px)), tracks.of_node >= 0
    reference[inside] = tracks.reference[tracks.of_node[inside]]
    warps = warps_from_reference(tracks, collection.edges, collection.warps).astype(np.float64)
    return per_input_px[:, :, None] * warps / per_input_px[reference][:, None]


def _per_input_px(collection: Collection) -> np.ndarray:
    """Of each node, [N, 2]."""
    return np.array([image.per_input_px for image in collection.images])[collection.image_of_node]


def cut_patches(levels: GreyLevels, xy: np.ndarray, level: int) -> Tensor:
    """What is around places of a photograph, in steps of a level: [N, PATCH_SIDE, PATCH_SIDE] float32, mean 0."""
    squares, centres = levels.squares(xy, level)
    bases = FINER * torch.eye(2, dtype=torch.float64).expand(len(xy), 2, 2)
    patches = sample(squares, torch.from_numpy(centres), bases, PATCH_SIDE)
    # Contrast is all that counts, and numbers near 0 keep more digits.
    return (patches - patches.mean(1, keepdim=True)).view(len(xy), PATCH_SIDE, PATCH_SIDE)


def adjust(
    observations: Observations,
    rows: np.ndarray,
    levels: GreyLevels,
    level: int,
    patches: Tensor,
    of_patch: np.ndarray,
    windows: tuple[Window, ...],
) -> None:
    """Align some rows of the observations of an image, in place.

    level: of the image, that is compared; patches: of the references, as of ``cut_patches``, at the levels of_patch,
    [M].
    """
    squares, start = levels.squares(observations.xy[rows], level)
    samples_per_px = FINER / step_px(level)
    scale = (samples_per_px * step_px(of_patch))[:, None, None]
    centres, bases = torch.from_numpy(start), torch.from_numpy(observations.warps[rows] * scale)
    for window in windows:
        found = align_patches(squares, centres, bases, patches, window)
        centres, bases = found.centres, found.bases
    observations.xy[rows] += (centres.numpy() - start) / samples_per_px
    observations.warps[rows] = bases.numpy() / scale
    observations.last_step[rows] = found.last_step.numpy() / samples_per_px
    observations.correlation[rows] = found.correlation.numpy()
    observations.sigma[rows] = found.sigma.numpy() / samples_per_px


def _level(px: np.ndarray) -> np.ndarray:
    """The level whose steps are nearest to a number of pixels of the photograph, one at least."""
    return np.clip(np.rint(2 * np.log2(np.maximum(px, 1))), 0, LARGEST_LEVEL).astype(int)


def _in_chunks(levels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each of the levels with rows that have it, [M], a few at a time."""
    for level in np.unique(levels).tolist():
        rows = np.flatnonzero(levels == level)
        for some in np.array_split(rows, -(-len(rows) // AT_ONCE)):
            yield level, some
