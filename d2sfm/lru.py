"""What was used last, kept in a bounded amount of memory."""

import mmap
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch

DESCRIPTOR_CACHE_BYTES = 1 << 29  # 50 images with 10 000 keypoints, descriptors in float16


def in_own_pages(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A copy of a tensor of the CPU, as another type on request, in memory that goes back to the system with it.

    What stays for a while in malloc's memory, with larger things coming and going around it, leaves holes that are not
    filled again: a cache of 0.5 GB grew the process by 2.1 GB.
    """
    dtype = dtype or tensor.dtype
    nbytes = tensor.numel() * dtype.itemsize
    pages = np.frombuffer(mmap.mmap(-1, max(nbytes, 1)), np.uint8, count=nbytes)
    return torch.from_numpy(pages).view(dtype).view(tensor.shape).copy_(tensor)


class LruCache:
    """Values with ``nbytes`` by key, loaded when they are first asked for; the longest unused go when all together
    exceed the capacity, except the one that was asked for.
    """

    def __init__(self, load: Callable[[Hashable], Any], capacity_bytes: int):
        self._load = load
        self._capacity = capacity_bytes
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._nbytes = 0

    def __getitem__(self, key: Hashable) -> Any:
        if key not in self._held:
            self._held[key] = self._load(key)
            self._nbytes += self._held[key].nbytes
        self._held.move_to_end(key)
        while len(self._held) > 1 and self._nbytes > self._capacity:
            _, value = self._held.popitem(last=False)
            self._nbytes -= value.nbytes
        return self._held[key]
