"""Feature maps of photographs in a folder, so that extraction computes them and refinement only reads them."""

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from d2sfm.coordinates import Size
from d2sfm.files import replacing
from d2sfm.network.early_maps import CELL_PX, COARSE, FINE, FeatureMaps
from d2sfm.network.trunk import CHANNELS
from d2sfm.network.weights.load import digest
from d2sfm.options import GreyRange, Preprocessing

SUFFIX = ".maps.npy"

logger = logging.getLogger(__name__)


class MapCache:
    """Maps by photograph, as .npy files that are mapped into memory rather than read.

    limit_bytes: of all files in the folder together. Maps that do not fit or can't be written are not kept: a cache
    that drops its oldest maps would always lack those that a pass over all photographs needs next. Maps of other
    weights or preprocessing are not found; those in float32 serve any precision. A photograph has maps of one kind: new
    ones replace others, and those from before it changed.

    Raises OSError if the folder can't be made.
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
        self._nbytes = {path.name: path.stat().st_size for path in self._folder.glob(f"*{SUFFIX}")}
        self._warned = False

    def get(
        self, photograph: Path, input_size: Size, orientation: int = 1, grey_range: GreyRange | None = None
    ) -> FeatureMaps | None:
        """The maps of a photograph at that size of the network's input, upright; None if they are not there, or
        damaged. orientation: EXIF's, by which the photograph is turned; grey_range: of 16 bits, what it is stretched
        from."""
        path = self._find(photograph, input_size, orientation, grey_range)
        if path is None:
            return None
        width, height = input_size
        fine, coarse = ((height // CELL_PX[name], width // CELL_PX[name], CHANNELS[name]) for name in (FINE, COARSE))
        split = math.prod(fine)
        try:
            # Copy on write: torch has no read-only tensors.
            flat = torch.from_numpy(np.load(path, mmap_mode="c"))
            return FeatureMaps(flat[:split].view(fine), flat[split:].view(coarse))
        except (ValueError, EOFError, RuntimeError) as error:  # cut off where a machine went down
            logger.warning("%s is damaged, so the maps of %s are computed again: %s", path, photograph, error)
            self._remove(path.name)
            return None

    def put(
        self,
        photograph: Path,
        input_size: Size,
        maps: FeatureMaps,
        orientation: int = 1,
        grey_range: GreyRange | None = None,
    ) -> None:
        """Keep the maps if there is room. Warns the first time that there is no room or the disk fails."""
        try:
            if self._find(photograph, input_size, orientation, grey_range):
                return
            path = self._path(photograph, input_size, orientation, grey_range, self._precision)
            for name in [name for name in self._nbytes if name.startswith(_prefix(photograph))]:
                self._remove(name)
            if sum(self._nbytes.values()) + maps.nbytes > self._limit_bytes:
                self._warn(f"is full, at its limit of {self._limit_bytes / 1e9:g} GB")
                return
            with replacing(path) as stream:
                shape = (maps.fine.numel() + maps.coarse.numel(),)
                header = {"descr": "<f2", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                for each in maps:
                    stream.write(each.cpu().contiguous().numpy().data)
            self._nbytes[path.name] = path.stat().st_size
        except OSError as error:
            self._warn(f"can't be written to ({error})")

    def _find(self, photograph: Path, input_size: Size, orientation: int, grey_range: GreyRange | None) -> Path | None:
        precisions = (self._precision, torch.float32)
        paths = (self._path(photograph, input_size, orientation, grey_range, each) for each in precisions)
        return next((path for path in paths if path.exists()), None)

    def _path(
        self, photograph: Path, input_size: Size, orientation: int, grey_range: GreyRange | None, precision: torch.dtype
    ) -> Path:
        """A key that changes with the photograph."""
        status = photograph.stat()
        key = [status.st_size, status.st_mtime_ns, list(map(int, input_size)), str(precision), *self._kind]
        key += [orientation] if orientation != 1 else []  # as in what earlier versions wrote
        key += [list(grey_range)] if grey_range is not None else []
        return self._folder / f"{_prefix(photograph)}{_short_hash(key)}{SUFFIX}"

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        self._nbytes.pop(name, None)

    def _warn(self, what: str) -> None:
        if not self._warned:
            logger.warning("%s %s: further feature maps are computed again instead of kept", self._folder, what)
        self._warned = True


def _prefix(photograph: Path) -> str:
    """The prefix of the names of a photograph's maps."""
    return f"{_short_hash(str(photograph.resolve()))}-"


def _short_hash(key: object) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
