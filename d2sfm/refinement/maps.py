"""The trunk's early layers as maps for alignment: conv2_2 and conv3_3, twice and just as fine as the last one."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d2sfm.network import CHANNELS, Trunk
from d2sfm.options import Preprocessing
from d2sfm.preprocess import normalise_batch
from d2sfm.strips import TrunkStrips

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


@torch.inference_mode()
def feature_maps(pixels: np.ndarray, trunk: Trunk, preprocessing: Preprocessing, device: torch.device) -> FeatureMaps:
    """The maps of a picture at the size of the network's input, uint8 [h, w, 3] RGB with edges of 8 px or more."""
    layers = trunk.layers()
    names = [layer.name for layer in layers]
    first, second = names.index(FINE) + 1, names.index(COARSE) + 1
    fine, coarse = TrunkStrips(layers[:first]), TrunkStrips(layers[first:second])
    height, width = pixels.shape[:2]
    maps = {
        name: torch.empty(height // cell_px, width // cell_px, CHANNELS[name], dtype=torch.float16, device=device)
        for name, cell_px in CELL_PX.items()
    }
    filled = dict.fromkeys(maps, 0)
    for begin in range(0, height, STRIP_PX):
        end = min(begin + STRIP_PX, height)
        rows = normalise_batch(torch.from_numpy(pixels[None, begin:end]).to(device), preprocessing).to(trunk.dtype)
        of_fine = fine.push(rows, last=end == height)
        for name, rows in ((FINE, of_fine), (COARSE, coarse.push(of_fine, last=end == height))):
            unit = F.normalize(rows[0].permute(1, 2, 0).float(), dim=2)
            maps[name][filled[name] : filled[name] + len(unit)] = unit
            filled[name] += len(unit)
    return FeatureMaps(maps[FINE], maps[COARSE])
