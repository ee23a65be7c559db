"""Weights of the trunk: the bundled ones, published D2-Net checkpoints, torchvision's VGG16.

Reading is strict for the ten convolutions and never runs code from a file.
"""

import hashlib
import logging
import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from d2sfm.network.trunk import CONVOLUTIONS
from d2sfm.network.weights.download import published_file
from d2sfm.options import Preprocessing
from d2sfm.options.fields import PUBLISHED_WEIGHTS
from d2sfm.spelling import did_you_mean
from d2sfm.text import one_line

logger = logging.getLogger(__name__)

BUNDLED = {"d2_ots": Path(__file__).parent / "d2_ots.float16.pth"}

# Position of each convolution in the nn.Sequential of VGG16's features, which both layouts count by.
LAYER_INDEX = dict(zip((name for name, _, _ in CONVOLUTIONS), (0, 2, 5, 7, 10, 12, 14, 17, 19, 21), strict=True))
D2NET_PREFIX = "dense_feature_extraction.model."
KINDS = ("weight", "bias")
# Our name of each tensor, in forward order, and that in a D2-Net checkpoint.
D2NET_KEYS = {
    f"{name}.{kind}": f"{D2NET_PREFIX}{index}.{kind}" for name, index in LAYER_INDEX.items() for kind in KINDS
}
TORCHVISION_PREFIX = "features."
# What VGG16 has beyond conv4_3: the fifth block and the classifier.
VGG16_UNUSED = {f"features.{i}.{kind}" for i in (24, 26, 28) for kind in KINDS}
VGG16_UNUSED |= {f"classifier.{i}.{kind}" for i in (0, 3, 6) for kind in KINDS}
# Filters of conv1_1 that are nearer than this to those of d2_ots are the same, rounded or tuned; these are 0.57 apart
# for BGR and RGB, so that only one order is near.
SAME_FILTERS = 0.25
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LONGEST_SHOWN = 80  # characters of a name from a file


def load_weights(
    name_or_path: str | Path, preprocessing: Preprocessing = Preprocessing.CAFFE, mirror: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The ten convolutions as float32 on the CPU, named ``conv1_1.weight`` [out, in, 3, 3], ``conv1_1.bias`` [out], ...

    name_or_path: ``d2_ots`` (bundled: off-the-shelf VGG16 of Simonyan and Zisserman), ``d2_tf`` or
    ``d2_tf_no_phototourism`` (fetched at first use, see ``download``), a D2-Net checkpoint
    (``{"model": {"dense_feature_extraction.model.0.weight": ...}}``) or the state dict of a VGG16 of torchvision's.
    preprocessing is only compared with what the weights expect: checkpoints of d2sfm's and the published training name
    theirs; torchvision's, which name none, are known by their filters, with a warning if it differs: its ImageNet
    classifier wants ``torch``, and its weights for features are those of ``d2_ots`` for RGB, of which conv1_1 is
    returned for BGR. mirror: addresses of folders to fetch from.

    Raises FileNotFoundError for a missing file and one that can't be fetched, ValueError for a file without such
    weights, and for one that names another preprocessing.
    """
    name = str(name_or_path)
    path = published_file(name, mirror, _read) if name in PUBLISHED_WEIGHTS else BUNDLED.get(name, Path(name))
    if not os.path.isfile(path):  # False also for what can't be a path
        named = [*BUNDLED, *PUBLISHED_WEIGHTS]
        listed = f"{', '.join(named)}{did_you_mean(Path(name).stem, named)}"
        raise FileNotFoundError(f"no weights at {one_line(path)}; weights with a name are: {listed}")
    checkpoint = _read(path)
    expected = checkpoint.preprocessing
    if expected not in (None, preprocessing):
        if checkpoint.names_it:
            raise ValueError(
                f"{path} was trained with --preprocessing {expected}, not {preprocessing}: use it with --preprocessing "
                f"{expected}"
            )
        logger.warning(
            "%s was trained with --preprocessing %s, not %s: features will be worse", path, expected, preprocessing
        )
    return checkpoint.weights


def d2net_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of a D2-Net checkpoint's ``model``; the reverse of ``load_weights``."""
    return {key: weights[name] for name, key in D2NET_KEYS.items()}


def digest(weights: Mapping[str, Tensor], last: str = CONVOLUTIONS[-1][0]) -> str:
    """Sixteen hexadecimal digits that tell weights up to a layer apart by their float32 values."""
    sha = hashlib.sha256()
    names = list(D2NET_KEYS)
    for name in names[: names.index(f"{last}.bias") + 1]:
        sha.update(weights[name].contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


class _Checkpoint(NamedTuple):
    """The entries of a file that ``load_weights`` uses."""

    weights: dict[str, Tensor]
    preprocessing: Preprocessing | None  # that they were trained with, if that is known
    names_it: bool  # whether the file says so, and it is not a guess


class _Unused:
    """Stands for objects in a checkpoint other than tensors and plain values: accepts any state and keeps none.

    Objects of NumPy, too, would set their state from the file, and that can crash the process.
    """

    def __new__(cls, *_):
        return super().__new__(cls)

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


class _Arguments:
    """Stands for the arguments of the published trainer, of which it keeps one."""

    preprocessing: object = None

    def __setstate__(self, state):
        if isinstance(state, Mapping):
            self.preprocessing = state.get("preprocessing")


# What the published trainer writes: its arguments, and losses as NumPy scalars, of NumPy 1 or 2.
_GLOBALS = [
    (_Arguments, "argparse.Namespace"),
    *((_Unused, f"numpy.{name}") for name in ("dtype", "core.multiarray.scalar", "_core.multiarray.scalar")),
]


def _read(path: Path) -> _Checkpoint:
    """Raises ValueError of one line, which begins with the path, if the file holds no weights."""
    checkpoint = unpickled(path)
    state = _state_dict(checkpoint, path)
    arguments = checkpoint.get("args")
    of_published = arguments.preprocessing if isinstance(arguments, _Arguments) else None
    named = next((each for each in Preprocessing if each in (checkpoint.get("preprocessing"), of_published)), None)
    if not any(key.startswith(TORCHVISION_PREFIX) for key in state):
        return _Checkpoint(_convolutions(state, D2NET_PREFIX, path), named, names_it=named is not None)
    weights = _convolutions(state, TORCHVISION_PREFIX, path)
    for_bgr, for_rgb = _distances(weights["conv1_1.weight"])
    if for_rgb < SAME_FILTERS:
        weights["conv1_1.weight"] = weights["conv1_1.weight"].flip(1)
    found = Preprocessing.CAFFE if min(for_bgr, for_rgb) < SAME_FILTERS else Preprocessing.TORCH
    return _Checkpoint(weights, named or found, names_it=named is not None)


def unpickled(path: Path) -> object:
    """What a checkpoint holds, its tensors on the CPU. Never runs code from the file.

    Raises ValueError of one line, which begins with the path, if it is not a checkpoint or is damaged.
    """
    if damage := _damage(path):
        raise ValueError(f"{path} is damaged: {damage}; take another copy of it")
    with torch.serialization.safe_globals(_GLOBALS):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"{path} is not a PyTorch checkpoint of weights alone (code from a checkpoint is never run)"
            ) from error
        except Exception as error:  # a damaged file makes the unpickler fail in any way: report what and where
            raise ValueError(f"{path} can't be read as a PyTorch checkpoint ({type(error).__name__})") from error


def _damage(path: Path) -> str | None:
    """The error in a checkpoint's archive, whose check sums ``torch.load`` does not compare.

    Those from before PyTorch 1.6 are not archives and have none.
    """
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            # PyTorch compresses nothing, so what says that it grows is no checkpoint, and may grow beyond the memory.
            if sum(member.file_size for member in archive.infolist()) > os.path.getsize(path):
                return "it declares more bytes than it has"
            member = archive.testzip()
    except Exception as error:  # of any type, as the unpickler's
        return f"its archive can't be read ({type(error).__name__})"
    return None if member is None else f"the check sum of {member[:LONGEST_SHOWN]!r} in it is wrong"


def _distances(filters: Tensor) -> list[float]:
    """From conv1_1's filters [64, 3, 3, 3] to those of d2_ots for BGR and for RGB, as fractions of these.

    Both kinds of torchvision's weights have one layout. One is a port of those that d2_ots is made of; the other was
    trained from scratch, which comes to other filters in another order, for input of another range.
    """
    original = torch.load(BUNDLED["d2_ots"], weights_only=True)["model"][D2NET_KEYS["conv1_1.weight"]].double()
    return [((filters - order).norm() / order.norm()).item() for order in (original, original.flip(1))]


def _state_dict(checkpoint: object, path: Path) -> dict[str, Tensor]:
    if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get("model"), Mapping):
        checkpoint = checkpoint["model"]
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise ValueError(f"{path} holds {type(checkpoint).__name__}, expected a D2-Net checkpoint or a state dict")
    for key, value in checkpoint.items():
        if not isinstance(key, str):
            raise ValueError(f"{path}: an entry is named by {type(key).__name__}, expected names of tensors")
        if not isinstance(value, Tensor):
            raise ValueError(f"{path}: entry {key[:LONGEST_SHOWN]!r} is not a named tensor")
    return dict(checkpoint)


def _convolutions(state: dict[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    """Copies, which share no memory with each other or the file. Removes the used entries from ``state``."""
    weights = {}
    for name, channels_in, channels_out in CONVOLUTIONS:
        for kind, shape in (("weight", (channels_out, channels_in, 3, 3)), ("bias", (channels_out,))):
            key = f"{prefix}{LAYER_INDEX[name]}.{kind}"
            if key not in state:
                raise ValueError(f"{path} lacks {key} ({name}): neither a D2-Net checkpoint nor torchvision's VGG16")
            tensor = state.pop(key)
            if tensor.dtype not in FLOATS or tensor.layout is not torch.strided or tensor.is_nested or tensor.is_meta:
                raise ValueError(f"{path}: {key} is {tensor.dtype} ({tensor.layout}), expected dense floating point")
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{path}: {key} has shape {tuple(tensor.shape)}, expected {shape}")
            weights[f"{name}.{kind}"] = torch.empty(shape).copy_(tensor.detach())
            if not weights[f"{name}.{kind}"].isfinite().all():
                raise ValueError(f"{path}: {key} holds values that are not finite")
    unexpected = sorted(set(state) - VGG16_UNUSED)
    if unexpected:
        shown = repr(unexpected[0][:LONGEST_SHOWN])
        raise ValueError(f"{path}: unexpected entry {shown}, expected the ten convolutions of VGG16 to conv4_3")
    return weights
