"""The record that extraction returns."""

from dataclasses import dataclass

import numpy as np

from d2sfm.notebook import Displayed
from d2sfm.options import Convention, GreyRange

DESCRIPTOR_SIZE = 512
SHOWN_PX = 640  # longer edge of what notebooks show


@dataclass(frozen=True, kw_only=True)
class Features(Displayed):
    """Keypoints and descriptors of one picture, in descending order of score; N may be 0.

    keypoints: [N, 4] float32, columns x, y, scale, score. In the ``colmap`` convention x and y are pixels of the
        photograph (centre of the top-left pixel at (0.5, 0.5)) and scale is in pixels of the photograph; in the
        ``reference`` convention x, y and scale are the published code's.
    descriptors: [N, 512] float32 (or float16 where they were stored so), unit length.
    image_size, input_size: (width, height) of the photograph and of the network input, in pixels, both as the
        photograph is stored.
    scales: requested scales of the network input, ascending.
    orientation: EXIF's, 1 to 8: how the photograph was turned before the network. Positions are those of the photograph
        as it is stored.
    grey_range: the values of 16 bits that were black and white to the network; None for all of them, and for 8 bits.

    Raises ValueError if shapes do not fit each other.
    """

    keypoints: np.ndarray
    descriptors: np.ndarray
    image_size: tuple[int, int]
    input_size: tuple[int, int]
    convention: Convention
    scales: tuple[float, ...]
    orientation: int = 1
    grey_range: GreyRange | None = None

    def __post_init__(self):
        count = len(self.keypoints)
        if self.keypoints.shape != (count, 4):
            raise ValueError(f"keypoints have shape {self.keypoints.shape}, expected (N, 4)")
        if self.descriptors.shape != (count, DESCRIPTOR_SIZE):
            raise ValueError(f"descriptors have shape {self.descriptors.shape}, expected ({count}, {DESCRIPTOR_SIZE})")

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def scores(self) -> np.ndarray:
        """Detection scores, [N] float32."""
        return self.keypoints[:, 3]

    def _picture(self) -> bytes:
        """The keypoints on an empty photograph."""
        from d2sfm.plots.canvas import png  # notebooks alone need it
        from d2sfm.plots.keypoints import draw_keypoints

        factor = SHOWN_PX / max(self.image_size)
        width, height = (max(1, round(edge * factor)) for edge in self.image_size)
        keypoints = self.keypoints * np.array([factor, factor, factor, 1], np.float32)
        return png(draw_keypoints(np.full((height, width, 3), 60, np.uint8), keypoints))
