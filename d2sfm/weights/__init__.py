"""Weights of the trunk: the bundled ones, published D2-Net checkpoints, torchvision's VGG16.

Reading is strict for the ten convolutions and never runs code from a file.
"""

import argparse
import hashlib
import logging
import pickle
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from d2sfm.network import CONVOLUTIONS
from d2sfm.options import Preprocessing

logger = logging.getLogger(__name__)

BUNDLED = {"d2_ots": Path(__file__).parent / "d2_ots.float16.pth"}

# Position of each convolution in the nn.Sequential of VGG16's features, which both layouts count by.
LAYER_INDEX = dict(zip((name for name, _, _ in CONVOLUTIONS), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21), strict=True))
D2NET_PREFIX = "dense_feature_extraction.model."
TORCHVISION_PREFIX = "features."
# What VGG16 has beyond conv4_3: the fifth block and the classifier.
VGG16_UNUSED = {f"features.{i}.{kind}" for i in (24, 26, 28) for kind in ("weight", "bias")} | {
    f"classifier.{i}.{kind}" for i in (0, 3, 6) for kind in ("weight", "bias")
}


def load_weights(name_or_path: str | Path, preprocessing: Preprocessing = Preprocessing.CAFFE) -> dict[str, Tensor]:
    """The ten convolutions as float32 on the CPU, named ``conv1_1.weight`` [out, in, 3, 3], ``conv1_1.bias`` [out], ...

    name_or_path: ``d2_ots`` (bundled: off-the-shelf VGG16 of Simonyan and Zisserman), a D2-Net checkpoint
    (``{"model": {"dense_feature_extraction.model.0.weight": ...}}``) or a torchvision VGG16 state dict.
    preprocessing is only compared with what the weights expect, and a warning says where it differs: torchvision's
    want ``torch``, and checkpoints of d2sfm's training name theirs.

    Raises FileNotFoundError for a missing file, ValueError for one that holds no such weights.
    """
    path = BUNDLED.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; bundled weights are: {', '.join(BUNDLED)}")
    checkpoint = _read_checkpoint(path)
    state = _state_dict(checkpoint, path)
    from_torchvision = any(key.startswith(TORCHVISION_PREFIX) for key in state)
    if from_torchvision and preprocessing == Preprocessing.CAFFE:
        logger.warning("%s is in torchvision's layout, whose weights expect --preprocessing torch", path)
    trained_with = checkpoint.get("preprocessing", preprocessing)
    if trained_with != preprocessing:
        logger.warning("%s was trained with --preprocessing %s, not %s", path, trained_with, preprocessing)
    return _convolutions(state, TORCHVISION_PREFIX if from_torchvision else D2NET_PREFIX, path)


def d2net_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of a D2-Net checkpoint's ``model``; the reverse of ``load_weights``."""
    return {
        f"{D2NET_PREFIX}{LAYER_INDEX[name]}.{kind}": weights[f"{name}.{kind}"]
        for name, _, _ in CONVOLUTIONS
        for kind in ("weight", "bias")
    }


def digest(weights: Mapping[str, Tensor], last: str = CONVOLUTIONS[-1][0]) -> str:
    """Sixteen hexadecimal digits that tell weights up to a layer apart by their float32 values."""
    sha = hashlib.sha256()
    names = [name for name, _, _ in CONVOLUTIONS]
    for name in names[: names.index(last) + 1]:
        for kind in ("weight", "bias"):
            sha.update(weights[f"{name}.{kind}"].contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


@contextmanager
def _published_globals():
    """Allows what checkpoints of the published trainer hold besides tensors: its arguments and NumPy scalars."""
    scalar_types = {type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "?")}
    scalar = np.float64(0).__reduce__()[0]
    # The trainer ran on NumPy 1, which pickled scalars under the module's old name.
    old_scalar = (scalar, "numpy.core.multiarray.scalar")
    with torch.serialization.safe_globals([argparse.Namespace, np.dtype, scalar, old_scalar, *scalar_types]):
        yield


def _read_checkpoint(path: Path) -> object:
    with _published_globals():
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"{path} is no PyTorch checkpoint of weights alone (code from a checkpoint is never run)"
            ) from error
        except Exception as error:  # a damaged file makes the unpickler fail in any way: report what and where
            raise ValueError(f"{path} can't be read as a PyTorch checkpoint ({type(error).__name__})") from error


def _state_dict(checkpoint: object, path: Path) -> dict[str, Tensor]:
    if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get("model"), Mapping):
        checkpoint = checkpoint["model"]
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise ValueError(f"{path} holds {type(checkpoint).__name__}, expected a D2-Net checkpoint or a state dict")
    unknown = [key for key, value in checkpoint.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if unknown:
        raise ValueError(f"{path}: entry {unknown[0]!r} is no named tensor")
    return dict(checkpoint)


def _convolutions(state: dict[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    weights = {}
    for name, channels_in, channels_out in CONVOLUTIONS:
        for kind, shape in (("weight", (channels_out, channels_in, 3, 3)), ("bias", (channels_out,))):
            key = f"{prefix}{LAYER_INDEX[name]}.{kind}"
            if key not in state:
                raise ValueError(f"{path} lacks {key} ({name}): neither a D2-Net checkpoint nor torchvision's VGG16")
            tensor = state.pop(key)
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{path}: {key} has shape {tuple(tensor.shape)}, expected {shape}")
            if not tensor.is_floating_point() or tensor.layout is not torch.strided:
                raise ValueError(f"{path}: {key} is {tensor.dtype} ({tensor.layout}), expected dense floating point")
            weights[f"{name}.{kind}"] = tensor.float()
            if not weights[f"{name}.{kind}"].isfinite().all():
                raise ValueError(f"{path}: {key} holds values that are not finite")
    unexpected = sorted(set(state) - VGG16_UNUSED)
    if unexpected:
        raise ValueError(f"{path}: unexpected entry {unexpected[0]}, expected the ten convolutions of VGG16 to conv4_3")
    return weights
