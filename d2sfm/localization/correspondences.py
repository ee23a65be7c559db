"""Keypoints of a query that may see points of the map."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from d2sfm.localization.loaded_map import LoadedMap
from d2sfm.matching.neighbours import neighbours_and_similarities
from d2sfm.options import MatchingOptions


@dataclass(frozen=True)
class Correspondences:
    """Matches of a query with keypoints of the map, [N] each, all int but the last."""

    keypoint: np.ndarray  # of the query
    point: np.ndarray  # row of the map's points
    image: np.ndarray  # which candidate
    place: np.ndarray  # row of the candidate's keypoints
    similarity: np.ndarray  # cosine

    def __len__(self) -> int:
        return len(self.keypoint)

    @property
    def distinct(self) -> int:
        """How many keypoints of the query there are."""
        return len(np.unique(self.keypoint))

    def __getitem__(self, rows: np.ndarray) -> "Correspondences":
        return Correspondences(*(getattr(self, field.name)[rows] for field in fields(self)))

    def voted(self) -> np.ndarray:
        """Rows with at most one point for each keypoint: that of most matched images, then of the highest
        similarity."""
        of_both = np.stack([self.keypoint, self.point], 1)
        _, group, votes = np.unique(of_both, axis=0, return_inverse=True, return_counts=True)
        order = np.lexsort((-self.similarity, -votes[group.ravel()], self.keypoint))
        return order[np.unique(self.keypoint[order], return_index=True)[1]]

    def spread(self, xy: np.ndarray, cell_px: float, most: int) -> np.ndarray:
        """At most ``most`` rows: first the most similar match of each keypoint, equally from all parts of the picture.
        xy: [N, 2] in pixels of the picture, of which parts are squares of cell_px."""
        of_keypoint = _rank(self.keypoint, -self.similarity)
        cells = np.unique((xy // cell_px).astype(int), axis=0, return_inverse=True)[1].ravel()
        of_cell = _rank(cells, np.lexsort((-self.similarity, of_keypoint)).argsort())
        return np.sort(np.lexsort((of_cell, of_keypoint))[:most])


def _rank(group: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Place of each row among those of its group, in ascending order of the key, [N] int."""
    order = np.lexsort((key, group))
    first = np.unique(group[order], return_index=True, return_counts=True)[1:]
    ranks = np.empty(len(group), int)
    ranks[order] = np.arange(len(group)) - np.repeat(*first)
    return ranks


def find(loaded: LoadedMap, names: Sequence[str], descriptors: np.ndarray, device: str) -> Correspondences:
    """Mutual nearest neighbours of descriptors, [N, 512], with those that see points, of each image."""
    found, options = [(*(np.zeros(0, np.int64) for _ in range(4)), np.zeros(0))], MatchingOptions(device=device)
    for number, name in enumerate(names):
        image = loaded[name]
        matches, similarities = neighbours_and_similarities(descriptors, image.descriptors, options)
        of_query, place = matches.astype(np.int64).T
        found.append((of_query, image.points[place], np.full(len(place), number), place, similarities.astype(float)))
    return Correspondences(*map(np.concatenate, zip(*found, strict=True)))
