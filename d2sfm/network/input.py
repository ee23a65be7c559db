"""From a photograph to the tensor that enters the network: its size, resampling, and scaling of pixels."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from d2sfm.coordinates import Size
from d2sfm.options import GreyRange, Preprocessing

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)  # ImageNet mean, in 0..255
TORCH_MEAN_RGB = (0.485, 0.456, 0.406)  # ImageNet mean, in 0..1
TORCH_STD_RGB = (0.229, 0.224, 0.225)  # ImageNet standard deviation, in 0..1


class Prepared(NamedTuple):
    """A picture at the size of the network's input."""

    pixels: np.ndarray  # [h, w, 3] uint8, RGB, upright
    image_size: Size  # of the photograph as it is stored
    mask: np.ndarray | None = None  # [H, W] bool: the photograph's pixels that are in, as stored; None if all are
    orientation: int = 1  # EXIF's, that made it upright
    grey_range: GreyRange | None = None  # of 16 bits, from which it was stretched

    @property
    def size(self) -> Size:
        """(width, height) in pixels of the network's input, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]


def input_size(image_size: Size, max_edge: int, max_sum_edges: int) -> Size:
    """(width, height) in pixels of the network input for a photograph of image_size.

    One factor s = min(1, max_edge / longest edge, max_sum_edges / (width + height)) for both axes, and edges of
    floor(s * edge), at least 1 pixel. A limit of 0 means no limit.

    Raises ValueError if an edge is below 1 or a limit below 0.
    """
    width, height = image_size
    if min(width, height) < 1:
        raise ValueError(f"image size is {width} x {height}, expected 1 x 1 or more")
    if min(max_edge, max_sum_edges) < 0:
        raise ValueError(f"limits are {max_edge} and {max_sum_edges}, expected 0 (no limit) or more")
    fractions = [(1, 1)]
    if max_edge:
        fractions.append((max_edge, max(width, height)))
    if max_sum_edges:
        fractions.append((max_sum_edges, width + height))
    # The floor of the smallest product is the smallest floor. In integers, because floats lose a pixel:
    # 1600 / 2156 * 2156 is below 1600.
    return tuple(max(1, min(edge * above // below for above, below in fractions)) for edge in (width, height))


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """The picture at another size (width, height): antialiased bilinear resampling, as Pillow does it.

    image: [H, W, 3] uint8. Returns [h, w, 3] uint8, and the picture itself where it has that size already.

    Raises ValueError if image is not such an array.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"picture is {image.dtype} {image.shape}, expected uint8 (H, W, 3) with H and W above 0")
    height, width = image.shape[:2]
    if (width, height) == tuple(size):
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def normalise_batch(pictures: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """The network input made of pictures of one size, [B, h, w, 3] uint8 RGB on any device: [B, 3, h, w] float32 there.

    With ``caffe`` channels are in the order BGR, 0..255, minus the mean; with ``torch`` in the order RGB, 0..1, minus
    the mean, over the standard deviation. Raises ValueError for an unknown preprocessing.
    """
    caffe = Preprocessing(preprocessing) is Preprocessing.CAFFE
    planes = pictures.permute(0, 3, 1, 2)
    planes = (planes.flip(1) if caffe else planes).contiguous().float()
    # The one copy in floating point: all arithmetic in place after it, with numbers that no GPU has to wait for.
    for channel in range(3):
        plane = planes[:, channel]
        if caffe:
            plane.sub_(CAFFE_MEAN_BGR[channel])
        else:
            plane.div_(255).sub_(TORCH_MEAN_RGB[channel]).div_(TORCH_STD_RGB[channel])
    return planes
