"""Grey values of one photograph, blurred by half octaves, as smooth functions around the places that are asked for.

A level is a sum of Gaussians around pixels, which is blur and interpolation at once. It is laid out twice as fine as
its steps, so that bilinear samples of it are as good as exact: what they are off is as if the blur changed by a
twentieth of its variance, and has no direction.
"""

from functools import cache

import cv2
import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

FINER = 2  # samples for a step of the level, on an axis
REACH = 24  # steps from the middle of a square to its border: a window of 31, turned by up to 45 degrees, and some way
# Variances in pixels of an octave: a pixel's own, and what a level has in all, twice as much half an octave further.
PIXEL_VARIANCE, LEVEL_VARIANCE = 0.25, 0.74
PYRAMID_VARIANCE = 1.0  # of cv2.pyrDown's kernel, in pixels of the finer octave
GREY_MIDDLE = 128  # is taken off, so that sums of squares keep their digits


class GreyLevels:
    """Levels of a photograph. Steps of level 0 are pixels of the photograph, those of level 2 are twice as large.

    picture: uint8 [H, W, 3] RGB, as features see it: upright. Only bytes are kept.
    """

    def __init__(self, picture: np.ndarray):
        self._octaves = [_with_border(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))]

    @property
    def nbytes(self) -> int:
        return sum(octave.nbytes for octave in self._octaves)

    def squares(self, xy: np.ndarray, level: int) -> tuple[Tensor, np.ndarray]:
        """Samples around positions, [N, S, S] float32, and where the positions are in them, [N, 2] (x, y) float64.

        xy: [N, 2] in pixels of the photograph, COLMAP's frame. There are FINER samples for a step of the level, see
        ``step_px``. Beyond the photograph it is mirrored.
        """
        octave, half = divmod(level, 2)
        while len(self._octaves) <= octave:
            self._octaves.append(_with_border(cv2.pyrDown(_without_border(self._octaves[-1]))))
        picture, kernel = self._octaves[octave], _kernel(octave, half)
        height, width = (edge - 2 * _BORDER for edge in picture.shape)
        xy = (xy - 0.5) / 2**octave
        middle = np.clip(np.rint(xy), 0, (width - 1, height - 1)).astype(int)
        edge = kernel.shape[1]
        corner = middle + _BORDER - edge // 2
        pixels = sliding_window_view(picture, (edge, edge))[corner[:, 1], corner[:, 0]]
        kernels = kernel.expand(len(xy), -1, -1)
        grey = torch.from_numpy(pixels).float().sub_(GREY_MIDDLE)
        samples = torch.bmm(torch.bmm(kernels, grey), kernels.transpose(1, 2))
        return samples, (xy - middle) * (FINER * 2**octave / step_px(level)) + FINER * REACH


def step_px(level: int | np.ndarray) -> float | np.ndarray:
    """Pixels of the photograph for a step of a level, on an axis."""
    return np.exp2(np.divide(level, 2))


@cache
def _kernel(octave: int, half: int) -> Tensor:
    """Weights of the pixels of an octave for the samples of a level along an axis, [samples, pixels] float32."""
    own = PIXEL_VARIANCE
    for _ in range(octave):
        own = (own + PYRAMID_VARIANCE) / 4
    variance = LEVEL_VARIANCE * 2**half - own
    places = np.arange(-REACH * FINER, REACH * FINER + 1) / FINER * step_px(half)
    pixels = np.arange(-(reach := int(np.ceil(places[-1] + 4 * np.sqrt(variance)))), reach + 1)
    weights = np.exp(-0.5 * (places[:, None] - pixels) ** 2 / variance)
    return torch.from_numpy(weights / weights.sum(axis=1, keepdims=True)).float()


_BORDER = _kernel(0, 1).shape[1] // 2  # the widest of them


def _with_border(picture: np.ndarray) -> np.ndarray:
    border = [min(_BORDER, edge - 1) for edge in picture.shape]  # a mirror shows no more than is there
    mirrored = cv2.copyMakeBorder(picture, border[0], border[0], border[1], border[1], cv2.BORDER_REFLECT_101)
    rest = [_BORDER - each for each in border]
    return cv2.copyMakeBorder(mirrored, rest[0], rest[0], rest[1], rest[1], cv2.BORDER_REPLICATE)


def _without_border(picture: np.ndarray) -> np.ndarray:
    return picture[_BORDER:-_BORDER, _BORDER:-_BORDER]
