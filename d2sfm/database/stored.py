"""Images and their keypoints, as they are read."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from d2sfm.coordinates import Size
from d2sfm.options import Convention, GreyRange


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """An image of the database; width and height in pixels are its camera's."""

    image_id: int
    name: str
    camera_id: int
    width: int
    height: int


class StoredKeypoints(NamedTuple):
    """Keypoints of an image, [N, 4] float32: x, y and scale in pixels of the photograph, 0."""

    image: ImageRow
    keypoints: np.ndarray
    input_size: Size  # as the photograph is stored
    convention: Convention
    orientation: int
    grey_range: GreyRange | None


def grey_range_of(greys: list[int | None]) -> GreyRange | None:
    """From a row's two columns; None if these hold none."""
    return None if None in greys else tuple(greys)


def image_row(row: tuple) -> ImageRow:
    """From image_id, name, camera_id, width, height."""
    return ImageRow(**dict(zip(("image_id", "name", "camera_id", "width", "height"), row, strict=True)))
