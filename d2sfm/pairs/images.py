"""What choosing pairs needs to know of images, wherever they are kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pycolmap


class DescribedImages(Protocol):
    """Images with descriptors of their keypoints."""

    def descriptors(self, image_id: int) -> np.ndarray:
        """Descriptors of an image, [N, 512] float16 or float32. Raises UnusableRow where they can't be used."""


class PairImages(DescribedImages, Protocol):
    """Images with ids: those of a database (``MatchStore``), or of a folder of shards."""

    path: Path  # of what keeps them

    def image_names(self) -> dict[int, str]:
        """Names by image_id, ids ascending."""

    def has_features(self, image_id: int) -> bool:
        """Whether an image has keypoints and descriptors; there may be 0 of them."""

    def pose_priors(self) -> dict[int, pycolmap.PosePrior]:
        """Where images were taken, by image_id, of those of which it is known."""


# Global descriptors of images, [N, D] float16 of unit length, in the order of their ids.
GlobalDescriptors = Callable[[DescribedImages, Sequence[int]], np.ndarray]
