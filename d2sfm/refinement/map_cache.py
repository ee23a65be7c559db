"""Feature maps of photographs in a folder, so that extraction computes them and refinement only reads them."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from d2sfm.coordinates import Size
from d2sfm.files import replacing
from d2sfm.network import CHANNELS
from d2sfm.options import Preprocessing
from d2sfm.refinement.maps import CELL_PX, COARSE, FINE, FeatureMaps
from d2sfm.weights import digest

SUFFIX = ".maps.npy"


class MapCache:
    """Maps by photograph, as .npy files that are mapped into memory rather than read.

    limit_bytes: of all files in the folder together. What does not fit is not kept: a cache that drops its oldest maps
    would be empty of those that a pass over all photographs asks for next. weights and preprocessing decide the maps,
    so those of others are not found; of precisions, float32 serves for any.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: float,
        weights: Mapping[str, torch.Tensor],
        precision: torch.dtype,
        preprocessing: Preprocessing,
    ):
        self._folder, self._limit_bytes = Path(folder), limit_bytes
        self._kind = [digest(weights, last=COARSE), str(preprocessing)]
        self._precision = precision
        self._folder.mkdir(parents=True, exist_ok=True)
        self._nbytes = sum(path.stat().st_size for path in self._folder.glob(f"*{SUFFIX}"))

    def get(self, photograph: Path, input_size: Size) -> FeatureMaps | None:
        """The maps of a photograph at that size of the network's input; None where they are not there."""
        paths = (self._path(photograph, input_size, precision) for precision in (self._precision, torch.float32))
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            return None
        # Copy on write: torch has no read-only tensors.
        flat = torch.from_numpy(np.load(path, mmap_mode="c"))
        width, height = input_size
        fine, coarse = ((height // CELL_PX[name], width // CELL_PX[name], CHANNELS[name]) for name in (FINE, COARSE))
        split = math.prod(fine)
        return FeatureMaps(flat[:split].view(fine), flat[split:].view(coarse))

    def put(self, photograph: Path, input_size: Size, maps: FeatureMaps) -> None:
        """Keep the maps if there is room. Raises OSError where the folder can't be written to."""
        path = self._path(photograph, input_size, self._precision)
        if path.exists() or self._nbytes + maps.nbytes > self._limit_bytes:
            return
        with replacing(path) as stream:
            shape = (maps.fine.numel() + maps.coarse.numel(),)
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for each in maps:
                stream.write(each.cpu().contiguous().numpy().data)
        self._nbytes += maps.nbytes

    def _path(self, photograph: Path, input_size: Size, precision: torch.dtype) -> Path:
        """A changed photograph is another one."""
        status = photograph.stat()
        key = [str(photograph.resolve()), status.st_size, status.st_mtime_ns, list(map(int, input_size))]
        key += [str(precision), *self._kind]
        return self._folder / (hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32] + SUFFIX)
