"""The trunk while it is trained: plain VGG16 to conv4_3, of which conv4_3 alone changes (paper, section 4.1)."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from d2sfm.network.weights.load import LAYER_INDEX


class TrainingTrunk(nn.Sequential):
    """Features of plain VGG16, 8 px a cell (cell i is centred at 8i + 3.5 px of the input).

    weights: as for ``d2sfm.network.trunk.Trunk``, copied. The state dict has their names.
    """

    def __init__(self, weights: Mapping[str, Tensor]):
        names = {index: name for name, index in LAYER_INDEX.items()}
        layers = make_layers(cfgs["D"])[: LAYER_INDEX["conv4_3"] + 1]
        super().__init__(OrderedDict((names.get(index, str(index)), layer) for index, layer in enumerate(layers)))
        for name in LAYER_INDEX:
            getattr(self, name).load_state_dict({kind: weights[f"{name}.{kind}"] for kind in ("weight", "bias")})
        # Channels last is what the convolution kernels want, on the CPU and on tensor cores alike.
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.conv4_3.requires_grad_(True)

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] normalised pictures to [B, 512, H // 8, W // 8] features, not rectified."""
        x = pictures.contiguous(memory_format=torch.channels_last)
        *fixed, trained = self
        with torch.no_grad():  # nothing below conv4_3 is kept for the gradient
            for layer in fixed:
                x = layer(x)
        return trained(x)
