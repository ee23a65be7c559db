"""The trunk over a picture that arrives in strips of rows, so that memory does not grow with the picture's height.

Tiles that overlap by the receptive field compute their margins twice. Here every layer keeps the last few rows of its
input until the next strip comes: nothing is computed twice, and the map is that of the whole picture to rounding,
wherever it is cut. Strips that fit the processor's cache are also faster than whole maps.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from d2sfm.coordinates import CELL_PX, Size
from d2sfm.network.trunk import BLOCKS, CHANNELS, CONVOLUTIONS, Layer

MIN_STRIP_PX = 2 * CELL_PX  # below it the rows that layers keep outweigh the strip


class TrunkStrips:
    """Features of pictures of one size, which arrive in strips of rows, top first.

    layers: those of the trunk, or consecutive ones of them: then what arrives are rows of the map before the first.
    A strip may have any number of rows; its type must be that of the trunk's weights.
    on_rows: given the rows of each layer with its name as they come, [B, C, h, w]; they may not be changed.
    """

    def __init__(self, layers: list[Layer], on_rows: Callable[[str, Tensor], None] = lambda name, rows: None):
        self._layers, self._on_rows = layers, on_rows
        self._kept: dict[str, Tensor] = {}  # input rows of each layer that the next strip still needs

    def push(self, rows: Tensor, *, last: bool) -> Tensor:
        """The rows of the last layer's map that follow from the rows so far, [B, C, h, w]; h may be 0.

        rows: [B, 3, n, W], the next n rows of the normalised pictures; last: whether they are the lowest. Of the whole
        trunk C is 512 and w is W // 4 - 1.
        """
        x = rows.contiguous(memory_format=torch.channels_last)
        for layer in self._layers:
            if last and layer.name not in self._kept:
                x = layer.apply(x, layer.padding)  # the whole picture at once
                self._on_rows(layer.name, x)
                continue
            window = self._window(layer, x, last)
            del x  # the largest maps are the bulk of the memory: no third one beside window and output
            outputs = max(0, (window.shape[2] - layer.extent) // layer.stride + 1)
            if not last:
                self._keep(layer, window[:, :, outputs * layer.stride :])
            if outputs:
                x = layer.apply(window, 0)
            elif last:
                # No row of this layer, but those below the last one still have to come out of the next layers.
                x = layer.apply(window.new_zeros(*window.shape[:2], layer.extent, window.shape[3]), 0)[:, :, :0]
            else:
                return self._nothing(rows)
            self._on_rows(layer.name, x)
        return x

    def _keep(self, layer: Layer, rows: Tensor) -> None:
        """Keep input rows of a layer for the next strip."""
        if rows.shape[2]:
            # A copy: a view would keep the whole strip alive.
            self._kept[layer.name] = rows.clone(memory_format=torch.channels_last)

    def _nothing(self, rows: Tensor) -> Tensor:
        """No rows of the last layer's map."""
        channels, width = rows.shape[1], rows.shape[3]
        for layer in self._layers:
            channels = CHANNELS.get(layer.name, channels)
            width = (width + 2 * layer.padding - layer.extent) // layer.stride + 1
        return rows.new_zeros(rows.shape[0], channels, 0, width)

    def _window(self, layer: Layer, rows: Tensor, last: bool) -> Tensor:
        """The kept rows and the new ones, with zeros beyond the picture's top and bottom."""
        first = layer.name not in self._kept
        if not first:
            rows = torch.cat([self._kept.pop(layer.name), rows], dim=2)
        above, below = layer.padding * first, layer.padding * last
        return F.pad(rows, (0, 0, above, below)) if above or below else rows


def strip_px(sizes: list[Size], itemsize: int, limit_bytes: float) -> int:
    """Most rows of a strip, a multiple of 4, with which a pyramid of levels of these sizes stays within a limit.

    sizes: (width, height) of the levels in pixels; itemsize: bytes of a value in the network. At least 8 rows;
    ``memory_bytes`` tells whether that is within the limit.
    """
    fixed = memory_bytes(sizes, 0, itemsize)
    rows = (limit_bytes - fixed) / (memory_bytes(sizes, 1, itemsize) - fixed)
    return max(MIN_STRIP_PX, int(rows) // CELL_PX * CELL_PX)


def memory_bytes(sizes: list[Size], strip: int, itemsize: int) -> float:
    """Memory of the maps, for each picture, while a pyramid of levels is computed in strips of this many rows.

    It counts what the layers keep between strips at all levels, and for the widest level the two largest maps that
    exist at a time: window and output of a layer, or the features in float32 with their sum and detection window.
    """
    kept = sum(width * itemsize * sum(_kept_values(block) for block in range(len(BLOCKS))) for width, _ in sizes)
    width = max(width for width, _ in sizes)
    first_block = 2 * CONVOLUTIONS[0][2] * itemsize
    features = CONVOLUTIONS[-1][2] * (itemsize + 4 * (2 + 2 * (len(sizes) > 1))) / CELL_PX**2
    return kept + width * max(first_block, features) * (strip + 2 * CELL_PX)


def _kept_values(block: int) -> float:
    """Values that the convolutions of a block keep between strips, for each pixel of the picture's width."""
    rows, shrunk = (4, 4) if block == 3 else (2, 2**block)
    return sum(rows * channels_in for _, channels_in, _ in BLOCKS[block]) / shrunk
