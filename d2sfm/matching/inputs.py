"""What matching reads of images, kept for the pairs to come in a bounded amount of memory."""

import mmap
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
import pycolmap
import torch

from d2sfm.database import MatchStore


class View(NamedTuple):
    """What verification needs of an image: its camera, and x, y of its keypoints, [N, 2] float32 in COLMAP's frame."""

    camera: pycolmap.Camera
    keypoints: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.keypoints.nbytes


class ImageCache:
    """Descriptors, keypoints and cameras by image_id, read when they are first asked for."""

    def __init__(self, store: MatchStore, device: torch.device, capacity_bytes: int):
        self._store = store
        self._device = device
        self._held = LruCache(self._read, capacity_bytes)

    def descriptors(self, image_id: int) -> torch.Tensor:
        """Descriptors on the device as they are stored, [N, 512] float16 or float32.

        Raises RuntimeError where they are not D2-Net's, or not as many as there are keypoints.
        """
        return self._held["descriptors", image_id]

    def view(self, image_id: int) -> View:
        """Camera and keypoints. Raises RuntimeError where there are no keypoints."""
        return self._held["view", image_id]

    def _read(self, key: tuple[str, int]) -> torch.Tensor | View:
        kind, image_id = key
        if kind == "view":
            return View(self._store.camera(image_id), self._store.keypoints(image_id))
        descriptors, keypoints = self._store.descriptors(image_id), self._store.keypoints(image_id)
        if len(descriptors) != len(keypoints):
            raise RuntimeError(
                f"{self._store.image_names()[image_id]} has {len(keypoints)} keypoints and {len(descriptors)} "
                f"descriptors in {self._store.path}: run d2sfm extract into a new database"
            )
        descriptors = torch.from_numpy(descriptors)
        return in_own_pages(descriptors) if self._device.type == "cpu" else descriptors.to(self._device)


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
