"""From a drawn pair to training data: two crops, and which of their cells show the same place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from d2sfm.options.training import MIN_CORRESPONDENCES, PairOptions
from d2sfm.photographs.reading import load_photograph
from d2sfm.training.depth import is_relative, read_depth_crop
from d2sfm.training.draws import Draw
from d2sfm.training.scenes import TrainingScene
from d2sfm.training.warp import Correspondences, DepthTolerance, View, corresponding_cells


@dataclass(frozen=True)
class TrainingPair:
    """One pair, cut out.

    name: both photographs, for messages; crops: [2, S, S, 3] uint8, RGB; correspondences: in the crops' grids.
    """

    name: str
    crops: np.ndarray
    correspondences: Correspondences


@dataclass(frozen=True)
class SkippedPair:
    """A pair that can't be trained on: the kind of reason, and the file if it is ``broken``."""

    name: str
    reason: str
    broken: str = ""


@dataclass(frozen=True)
class Batch:
    """The pairs of one forward pass that can be trained on, P of them, and the others.

    names: of the P pairs; crops: [2 P, S, S, 3] uint8, the first photographs before the second ones; cells: for each
    pair [2, K] int64, corresponding cells; positions: for each pair [2, K, 2], (row, column) in crop pixels.
    """

    names: list[str]
    crops: Tensor
    cells: list[Tensor]
    positions: list[np.ndarray]
    skipped: list[SkippedPair]

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, which DataLoader requests for a GPU."""
        return replace(self, crops=self.crops.pin_memory(), cells=[cells.pin_memory() for cells in self.cells])


class PairDataset(Dataset):
    """Cuts drawn pairs out of the photographs of a dataset. Holds no state that changes, so any worker may serve.

    root: folder that the scenes' paths are relative to.
    """

    def __init__(self, root: Path, scenes: Sequence[TrainingScene], options: PairOptions):
        self.root, self.scenes, self.options = Path(root), scenes, options

    def __getitem__(self, draw: Draw) -> TrainingPair | SkippedPair:
        """The pair of a draw. A pair with broken or small photographs, or few correspondences, comes back skipped."""
        scene, images = self.scenes[draw.scene], (draw.image1, draw.image2)
        name = " - ".join(str(scene.image_paths[image]) for image in images)
        try:
            parts = [self._cut_out(scene, *part) for part in zip(images, (draw.xy1, draw.xy2), strict=True)]
        except (OSError, ValueError) as error:
            return SkippedPair(name, "broken files", broken=str(error))
        if None in parts:
            return SkippedPair(name, f"photographs smaller than --image-size {self.options.image_size}")
        (crop1, view1), (crop2, view2) = parts
        found = corresponding_cells(view1, view2, self._tolerance(scene, draw.image1))
        if len(found.cells1) < MIN_CORRESPONDENCES:
            return SkippedPair(name, f"fewer than {MIN_CORRESPONDENCES} correspondences")
        return TrainingPair(name, np.stack([crop1, crop2]), found)

    def _tolerance(self, scene: TrainingScene, image: int) -> DepthTolerance:
        if is_relative(str(scene.depth_paths[image])):
            return DepthTolerance(self.options.depth_tolerance_relative, relative=True)
        return DepthTolerance(self.options.depth_tolerance)

    def _cut_out(self, scene: TrainingScene, image: int, xy: tuple[float, float]) -> tuple[np.ndarray, View] | None:
        """The crop around a point and its geometry, None if the photograph is too small for it."""
        size, path = self.options.image_size, self.root / scene.image_paths[image]
        photograph = _load(path)
        height, width = photograph.shape[:2]
        if min(height, width) < size:
            return None
        row, column = crop_corner(xy, (width, height), size)
        depth = read_depth_crop(self.root / scene.depth_paths[image], (width, height), (row, column), size)
        view = View(depth, (row, column), scene.intrinsics[image], scene.poses[image])
        return photograph[row : row + size, column : column + size], view


def crop_corner(xy: tuple[float, float], image_size: tuple[int, int], size: int) -> tuple[int, int]:
    """(row, column) of the first pixel of the crop around a point (x, y), moved to lie inside the photograph.

    As published, the half pixel of COLMAP's frame is not taken off: it only moves the crop.
    """
    corners = [
        min(max(int(value) - size // 2, 0), edge - size) for value, edge in zip(xy[::-1], image_size[::-1], strict=True)
    ]
    return corners[0], corners[1]


def _load(path: Path) -> np.ndarray:
    """A photograph's pixels as they are stored, [H, W, 3] uint8, RGB.

    Raises FileNotFoundError if it is missing, ValueError if it is not a picture or damaged.
    """
    try:
        return load_photograph(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"no photograph at {path}") from None
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def collate(items: list[TrainingPair | SkippedPair]) -> Batch:
    """A batch of the dataset's pairs; it may be empty."""
    pairs = [item for item in items if isinstance(item, TrainingPair)]
    found = [pair.correspondences for pair in pairs]
    crops = [torch.from_numpy(pair.crops[side]) for side in (0, 1) for pair in pairs]
    return Batch(
        [pair.name for pair in pairs],
        torch.stack(crops) if crops else torch.zeros(0, 0, 0, 3, dtype=torch.uint8),
        [torch.from_numpy(np.stack([each.cells1, each.cells2])) for each in found],
        [np.stack([each.in_crop1, each.in_crop2]) for each in found],
        [item for item in items if isinstance(item, SkippedPair)],
    )
