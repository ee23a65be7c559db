"""Make the bundled weights: ``python -m d2sfm.network.weights.pack d2_ots.pth``.

Rounds a D2-Net checkpoint to float16 and keeps its published layout, so that the package's loader and the published
code both read the result. At half the size, the weights can be part of the package.
"""

import argparse
from pathlib import Path

import torch

from d2sfm.network.weights.load import BUNDLED, d2net_state, load_weights


def pack(source: Path, target: Path) -> None:
    """Write the convolutions of ``source`` to ``target`` in float16. ValueError if ``source`` holds no weights."""
    model = {key: tensor.half() for key, tensor in d2net_state(load_weights(source)).items()}
    torch.save({"model": model}, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="D2-Net checkpoint in float32")
    parser.add_argument("--target", type=Path, default=BUNDLED["d2_ots"], help="file to write")
    arguments = parser.parse_args()
    pack(arguments.source, arguments.target)
