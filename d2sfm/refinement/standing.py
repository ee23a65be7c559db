"""What stays as it is where new photographs are refined after others: all keypoints of these."""

from collections.abc import Collection as Ids
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from d2sfm.database import RefinementStore
from d2sfm.refinement.collection import Collection


class Standing(NamedTuple):
    """Nodes and images that stay.

    of_nodes: [N] int64, 0 of those that are aligned. Higher ones are better references: 1 of keypoints that no track
    had, which are pixels off; 2 of those that were aligned, 3 of those that others were aligned with.
    """

    of_nodes: np.ndarray
    of_images: np.ndarray  # [I] bool
    sigmas: np.ndarray  # [N] as of ``RefinementStore.sigmas``, NaN where nothing is known
    are_continued: np.ndarray  # [N] bool, those that extraction did not find

    @classmethod
    def nothing(cls, collection: Collection) -> "Standing":
        """Where all is aligned."""
        count = len(collection.image_of_node)
        none = np.zeros(count, bool)
        return cls(np.zeros(count, np.int64), np.zeros(len(collection.images), bool), np.full(count, np.nan), none)


def read_standing(
    store: RefinementStore, collection: Collection, new: Ids[int], continued: Mapping[int, int]
) -> Standing:
    """All but the images of these ids, of a collection with continued tracks.

    continued: how many an image has, by image_id. Raises as ``RefinementStore.keypoints``.
    """
    of_images = np.array([image.image_id not in new for image in collection.images])
    stays, (a, b, _) = of_images[collection.image_of_node], collection.edges
    of_nodes = stays.astype(np.int64)
    of_nodes[np.stack([a, b])[:, stays[a] & stays[b]]] = 2
    sigmas, are_continued = np.full(len(stays), np.nan), np.zeros(len(stays), bool)
    for number in np.flatnonzero(of_images):
        nodes = slice(*collection.first_node[number : number + 2])
        image_id = collection.images[number].image_id
        of_nodes[nodes] += (of_nodes[nodes] == 2) & store.at_rest(image_id)
        sigmas[nodes] = store.sigmas(image_id)
        are_continued[nodes.stop - continued.get(image_id, 0) : nodes.stop] = True
    return Standing(of_nodes, of_images, sigmas, are_continued)
