"""The trunk at inference: VGG16 from conv1_1 to conv4_3.

The third pooling is an average with stride 1 and the fourth block has dilation 2 (paper, section 4.2), so that a cell
of the feature map is 4 px wide instead of plain VGG16's 8 while the weights stay the same.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Name, input channels, output channels, in forward order; "pool" marks where the resolution halves.
BLOCKS = (
    (("conv1_1", 3, 64), ("conv1_2", 64, 64)),
    (("conv2_1", 64, 128), ("conv2_2", 128, 128)),
    (("conv3_1", 128, 256), ("conv3_2", 256, 256), ("conv3_3", 256, 256)),
    (("conv4_1", 256, 512), ("conv4_2", 512, 512), ("conv4_3", 512, 512)),
)
CONVOLUTIONS = tuple(convolution for block in BLOCKS for convolution in block)
CHANNELS = {name: channels_out for name, _, channels_out in CONVOLUTIONS}

# On a CPU, compiled kernels are cached for the last 1024 shapes of convolutions, in a folder of mixed sizes some 9 MB
# for each size. Those of a strip at three scales are enough: making another costs a millisecond.
for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(variable, "48")

# Two max poolings and the 2x2 average need this many pixels to leave one cell.
MIN_EDGE_PX = 8


class Layer(NamedTuple):
    """A layer of the trunk as a function of rows.

    An output row is made of ``extent`` consecutive input rows, the next one of those ``stride`` rows further down;
    the map has ``padding`` rows of zeros above and below it.
    """

    name: str
    extent: int
    stride: int
    padding: int
    apply: Callable[[Tensor, int], Tensor]  # (rows [B, C, H, W], rows of zeros to put above and below them)


class Trunk(nn.Module):
    """Dense features of the inference network.

    weights: ``conv<block>_<n>.weight`` [out, in, 3, 3] and ``.bias`` [out] of the ten convolutions, as of
    ``load_weights``.
    relu: whether the last layer is rectified, as the published extractor does by default.
    """

    def __init__(self, weights: Mapping[str, Tensor], *, relu: bool = True):
        super().__init__()
        for name, channels_in, channels_out in CONVOLUTIONS:
            dilation = 2 if name.startswith("conv4") else 1
            shape = (channels_in, channels_out, 3)
            # Without the random values that the weights would replace: they take a tenth of a second.
            layer = nn.utils.skip_init(nn.Conv2d, *shape, padding=dilation, dilation=dilation)
            layer.load_state_dict({kind: weights[f"{name}.{kind}"] for kind in ("weight", "bias")})
            self.add_module(name, layer)
        # Channels last is what the convolution kernels want, on the CPU and on tensor cores alike.
        self.to(memory_format=torch.channels_last)
        self.relu = relu
        self.requires_grad_(False).eval()

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic of the network: the type of its weights, which its input must have, too."""
        return self.conv1_1.weight.dtype

    def layers(self) -> list[Layer]:
        """The layers in forward order."""
        layers = []
        for index, block in enumerate(BLOCKS):
            if index in (1, 2):
                layers.append(Layer(f"pool{index}", 2, 2, 0, lambda x, _: F.max_pool2d(x, 2, stride=2)))
            elif index == 3:
                layers.append(Layer(f"pool{index}", 2, 1, 0, lambda x, _: F.avg_pool2d(x, 2, stride=1)))
            for name, _, _ in block:
                reach = getattr(self, name).dilation[0]
                layers.append(Layer(name, 2 * reach + 1, 1, reach, partial(self._convolve, name)))
        return layers

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] normalised pictures, H and W at least 8 px, to [B, 512, H // 4 - 1, W // 4 - 1] features."""
        x = pictures.contiguous(memory_format=torch.channels_last)
        for layer in self.layers():
            x = layer.apply(x, layer.padding)
        return x

    def _convolve(self, name: str, x: Tensor, rows_of_zeros: int) -> Tensor:
        convolution = getattr(self, name)
        reach = convolution.dilation[0]
        x = F.conv2d(x, convolution.weight, convolution.bias, padding=(rows_of_zeros, reach), dilation=reach)
        return F.relu_(x) if self.relu or name != CONVOLUTIONS[-1][0] else x
