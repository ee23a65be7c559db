"""Numbers of pictures and rows that enter the network at a time: by memory, and fewer if it runs out."""

import logging
import math
from collections.abc import Callable

import torch

from d2sfm.coordinates import Size
from d2sfm.features.record import Features
from d2sfm.network.input import Prepared
from d2sfm.network.strips import MIN_STRIP_PX, memory_bytes, strip_px
from d2sfm.options import ExtractionOptions

CPU_MEMORY, GPU_MEMORY = 0.5e9, 2e9  # bytes for feature maps
CPU_STRIP_PX = 64  # maps of a strip stay in the cache: 64 rows of 1063 px are 2.2 s, the whole picture 2.6 s
MAX_BATCH = 16  # a GPU is busy with fewer, except for thumbnails

logger = logging.getLogger(__name__)


class Budget:
    """What fits into the memory of the options. Sizes are (width, height) in pixels of the levels of a picture.

    itemsize: bytes of a number of the feature maps.
    """

    def __init__(self, options: ExtractionOptions, device: torch.device, itemsize: int):
        self._limit_gb, self._tile_size = options.memory_limit, options.tile_size
        self._is_gpu, self._is_cpu, self._itemsize = device.type == "cuda", device.type == "cpu", itemsize
        self._largest_batch = MAX_BATCH

    def check(self, sizes: list[Size]) -> None:
        """Raise ValueError if not even the lowest strips fit in the limit that options give."""
        least = memory_bytes(sizes, MIN_STRIP_PX, self._itemsize) / 1e9
        if self._limit_gb is not None and self._tile_size is None and least > self._limit_gb:
            raise ValueError(
                f"feature maps of {sizes[-1][0]} px width need a memory limit of {math.ceil(1e4 * least) / 1e4:g} GB "
                f"or more, found {self._limit_gb:g}"
            )

    def batch_size(self, sizes: list[Size]) -> int:
        """Pictures that pass through the network together. 1 on a CPU, where larger batches are no faster."""
        if not sizes or self._is_cpu:
            return 1
        of_picture = memory_bytes(sizes, max(height for _, height in sizes), self._itemsize)
        return max(1, min(self._largest_batch, int(self._memory() / of_picture)))

    def strip_px(self, sizes: list[Size], pictures: int) -> int:
        """Rows that enter the network at a time, for a number of pictures."""
        if self._tile_size is not None:
            return self._tile_size
        most = strip_px(sizes, self._itemsize, self._memory() / pictures)
        return most if self._is_gpu else min(most, CPU_STRIP_PX)

    def in_batches(
        self, pictures: list[Prepared], sizes: list[Size], extract: Callable[[list[Prepared]], list[Features]]
    ) -> list[Features]:
        """Results of ``extract`` for all pictures, a batch at a time. If a GPU's memory runs out, it gets less from
        then on: smaller batches, then lower strips. Raises the error if nothing smaller is left."""
        found, waiting = [], list(pictures)
        while waiting:
            batch = waiting[: self._largest_batch]
            try:
                found += extract(batch)
                del waiting[: len(batch)]
                continue
            except torch.cuda.OutOfMemoryError:
                if not self._ask_for_less(len(batch), sizes):
                    raise
            torch.cuda.empty_cache()  # outside of the handler, which keeps the maps alive
        return found

    def _memory(self) -> float:
        """Bytes for feature maps."""
        if self._limit_gb is not None:
            return self._limit_gb * 1e9
        return GPU_MEMORY if self._is_gpu else CPU_MEMORY

    def _ask_for_less(self, pictures: int, sizes: list[Size]) -> bool:
        if pictures > 1:
            self._largest_batch = pictures // 2
            logger.warning("out of GPU memory with %d pictures at a time: continuing with %d", pictures, pictures // 2)
            return True
        before = min(self.strip_px(sizes, 1), max(height for _, height in sizes))
        if before <= MIN_STRIP_PX:
            return False
        self._tile_size = max(MIN_STRIP_PX, before // 2)
        logger.warning("out of GPU memory with %d rows at a time: continuing with %d", before, self._tile_size)
        return True
