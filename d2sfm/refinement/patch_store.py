"""Patches of references that wait for the other images of their tracks, in memory or, where they are many, on disk."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from d2sfm.system import reserve

MEMORY_BYTES = 1 << 29


class PatchStore:
    """Slots that each hold a patch of every layer, in the CPU's memory.

    shapes: of a layer's patch, by its name. Above 512 MB they lie in a file without a name in the folder, mapped into
    memory: the system drops of it what it needs memory for, and the file goes with the process, however that ends.
    Without a folder all is in memory. Raises RuntimeError if the folder has no room.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], slots: int, folder: Path | None):
        sizes = {layer: slots * math.prod(shape) for layer, shape in shapes.items()}
        total = sum(sizes.values())
        if folder is None or 2 * total <= MEMORY_BYTES:
            flat = torch.empty(total, dtype=torch.float16)
        else:
            flat = torch.from_numpy(_in_file(total, folder))
        parts = flat.split(list(sizes.values()))
        self._patches = {layer: part.view(slots, *shapes[layer]) for layer, part in zip(sizes, parts, strict=True)}

    def put(self, layer: str, slots: np.ndarray, patches: Tensor) -> None:
        """Patches, [N, cells, channels] float16, into slots [N]."""
        self._patches[layer][slots] = patches.cpu()

    def get(self, layer: str, slots: np.ndarray, device: torch.device) -> Tensor:
        """A copy of what ``put`` was given, on a device."""
        return self._patches[layer][slots].to(device)


def _in_file(count: int, folder: Path) -> np.ndarray:
    """[count] float16."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file, 2 * count)  # a full disk must show here: in mapped memory it kills the process
            return np.memmap(file, np.float16, "w+", shape=(count,))
    except OSError as error:
        raise RuntimeError(f"{folder} has no room for {2e-9 * count:.1f} GB of patches: {error}") from error
