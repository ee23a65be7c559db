"""Image data for matching, kept for later pairs in bounded memory."""

from collections.abc import Mapping
from functools import partial

import torch

from d2sfm.database import MatchStore
from d2sfm.lru import DESCRIPTOR_CACHE_BYTES, LruCache, in_own_pages
from d2sfm.matching.known_poses import KnownView, known_views
from d2sfm.matching.view import View
from d2sfm.text import counted


class MatchingInputs:
    """Descriptors, keypoints and cameras by image_id, read at first use."""

    def __init__(self, store: MatchStore, device: torch.device, capacity_bytes: int = DESCRIPTOR_CACHE_BYTES):
        # Not a method of this object: a ring of references would hold the memory until the garbage collector comes by.
        read = partial(_read, store, device, store.continued(), known_views(store))
        self._held = LruCache(read, capacity_bytes)

    def descriptors(self, image_id: int) -> torch.Tensor:
        """Descriptors on the device as they are stored, [N, 512] float16 or float32.

        Keypoints of continued tracks have none. Raises RuntimeError if they are not D2-Net's, or differ in number from
        the other keypoints.
        """
        return self._held["descriptors", image_id]

    def view(self, image_id: int) -> View:
        """Camera and keypoints, and the pose if it is known. Raises RuntimeError if there are no keypoints."""
        return self._held["view", image_id]


def _read(
    store: MatchStore,
    device: torch.device,
    continued: Mapping[int, int],
    known: Mapping[int, KnownView],
    key: tuple[str, int],
) -> torch.Tensor | View:
    kind, image_id = key
    if kind == "view":
        camera, pose = known[image_id] if image_id in known else (store.camera(image_id), None)
        return View(camera, store.keypoints(image_id), pose)
    descriptors, keypoints = store.descriptors(image_id), store.keypoints(image_id)
    if len(descriptors) != len(keypoints) - continued.get(image_id, 0):
        raise RuntimeError(
            f"{store.image_names()[image_id]} has {counted(len(keypoints), 'keypoint')} and "
            f"{counted(len(descriptors), 'descriptor')} in {store.path}: run d2sfm extract into a new database"
        )
    descriptors = torch.from_numpy(descriptors)
    return in_own_pages(descriptors) if device.type == "cpu" else descriptors.to(device)
