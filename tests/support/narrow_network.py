"""The bundled network with a few channels of each layer.

For tests of what is done with features, whatever they are: it computes in a fiftieth of the time.
"""

from pathlib import Path

import pytest
import torch

from d2sfm.network import trunk
from d2sfm.network.weights import load
from d2sfm.network.weights.load import BUNDLED, D2NET_PREFIX, KINDS, LAYER_INDEX

WIDTHS = {3: 3, 64: 8, 128: 16, 256: 32, 512: 32}  # channels in place of the network's; descriptors keep their 512
LAST = trunk.CONVOLUTIONS[-1][0]
NARROW = tuple(
    (name, WIDTHS[channels_in], channels_out if name == LAST else WIDTHS[channels_out])
    for name, channels_in, channels_out in trunk.CONVOLUTIONS
)


def write_narrow_weights(path: Path) -> Path:
    """Write the first channels of each layer of d2_ots as a checkpoint; returns the path."""
    model = torch.load(BUNDLED["d2_ots"], weights_only=True)["model"]
    for name, channels_in, channels_out in NARROW:
        weight, bias = (f"{D2NET_PREFIX}{LAYER_INDEX[name]}.{kind}" for kind in KINDS)
        # Fewer channels add up to less, in every layer.
        gain = (model[weight].shape[1] / channels_in) ** 0.5
        model[weight] = model[weight][:channels_out, :channels_in].float() * gain
        model[bias] = model[bias][:channels_out].float()
    torch.save({"model": model}, path)
    return path


def use_narrow_network(patch: pytest.MonkeyPatch, weights: Path) -> None:
    """Make it the network of this process, with what ``write_narrow_weights`` wrote as d2_ots."""
    for module in (trunk, load):
        patch.setattr(module, "CONVOLUTIONS", NARROW)
    for name, _, channels_out in NARROW:
        patch.setitem(trunk.CHANNELS, name, channels_out)
    patch.setitem(BUNDLED, "d2_ots", weights)


def begin_with_narrow_network(weights: Path) -> None:
    """The same for all that a process of its own does."""
    use_narrow_network(pytest.MonkeyPatch(), weights)


def use_narrow_training_trunk(patch: pytest.MonkeyPatch) -> None:
    """Make torchvision's VGG16, of which training takes its trunk, as narrow."""
    from torchvision.models.vgg import cfgs

    widths = iter([channels_out for _, _, channels_out in NARROW])
    first = cfgs["D"][: cfgs["D"].index(512) + 3]
    patch.setitem(cfgs, "D", [each if each == "M" else next(widths) for each in first])
