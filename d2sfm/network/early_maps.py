"""The trunk's early layers as maps for alignment: conv2_2 and conv3_3, twice and just as fine as the last one."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from d2sfm.coordinates import Size
from d2sfm.network.input import normalise_batch
from d2sfm.network.strips import TrunkStrips
from d2sfm.network.trunk import CHANNELS, Trunk
from d2sfm.options import Preprocessing

FINE, COARSE = "conv2_2", "conv3_3"
CELL_PX = {FINE: 2, COARSE: 4}  # cell i of a map is centred at pixel CELL_PX * i + (CELL_PX - 1) / 2 of the input
STRIP_PX = 64  # maps of a strip stay in the processor's cache


class FeatureMaps(NamedTuple):
    """Both maps of a picture, [H, W, C] float16, each cell of unit length over its channels."""

    fine: Tensor
    coarse: Tensor

    def layer(self, name: str) -> Tensor:
        """The map of the layer of that name."""
        return self.fine if name == FINE else self.coarse

    @property
    def nbytes(self) -> int:
        return self.fine.nbytes + self.coarse.nbytes


class MapRecorder:
    """Collects the maps of pictures of one size while these pass through the network in strips.

    size: (width, height) of the network's input; count: pictures at a time.
    """

    def __init__(self, size: Size, count: int, device: torch.device):
        self._maps = {
            name: torch.empty(
                count, size[1] // cell_px, size[0] // cell_px, CHANNELS[name], dtype=torch.float16, device=device
            )
            for name, cell_px in CELL_PX.items()
        }
        self._filled = dict.fromkeys(self._maps, 0)

    def on_rows(self, name: str, rows: Tensor) -> None:
        """Take the next rows of a layer, [B, C, h, w]; those of other layers are ignored."""
        if name in self._maps:
            begin = self._filled[name]
            self._filled[name] += rows.shape[2]
            cells = rows.permute(0, 2, 3, 1)
            length = torch.linalg.vector_norm(cells, dim=3, keepdim=True, dtype=torch.float32).clamp(min=1e-12)
            torch.div(cells, length, out=self._maps[name][:, begin : self._filled[name]])  # no float32 copy of all

    def maps(self) -> list[FeatureMaps]:
        """The maps of each picture, once all rows have come."""
        return [FeatureMaps(fine, coarse) for fine, coarse in zip(self._maps[FINE], self._maps[COARSE], strict=True)]


@torch.inference_mode()
def feature_maps(pixels: np.ndarray, trunk: Trunk, preprocessing: Preprocessing, device: torch.device) -> FeatureMaps:
    """The maps of a picture at the size of the network's input, uint8 [h, w, 3] RGB with edges of 8 px or more."""
    height, width = pixels.shape[:2]
    recorder = MapRecorder((width, height), 1, device)
    layers = trunk.layers()
    needed = 1 + [layer.name for layer in layers].index(COARSE)
    strips = TrunkStrips(layers[:needed], recorder.on_rows)
    for begin in range(0, height, STRIP_PX):
        end = min(begin + STRIP_PX, height)
        rows = normalise_batch(torch.from_numpy(pixels[None, begin:end]).to(device), preprocessing)
        strips.push(rows.to(trunk.dtype), last=end == height)
    return recorder.maps()[0]
