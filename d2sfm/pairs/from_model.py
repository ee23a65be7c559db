"""Pairs of photographs from a COLMAP model that has them: by the points that they share, or by where cameras stand."""

import numpy as np
import pycolmap
from scipy.sparse import csr_matrix

from d2sfm.pairs.arrays import nearest, unique_pairs
from d2sfm.pairs.spatial import nearest_positions


def covisible(image_ids: np.ndarray, images: list[pycolmap.Image], number: int) -> np.ndarray:
    """Pairs of each image with the ``number`` images that share most points with it, lower ids first at a tie.

    images: those of the model, in the order of image_ids, [N] ascending. Returns [P, 2] uint32, ascending.
    """
    seen = [np.unique([point.point3D_id for point in image.get_observation_points2D()]) for image in images]
    ends = np.cumsum([0, *map(len, seen)])
    points, columns = np.unique(np.concatenate([*seen, np.zeros(0)]), return_inverse=True)
    shape = (len(images), len(points))
    observed = csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=shape)

    def shared(begin: int, end: int) -> np.ndarray:
        counts = (observed[begin:end] @ observed.T).toarray()
        return np.where(counts > 0, counts, -np.inf)

    first, second = nearest(shared, len(image_ids), number)
    return unique_pairs(image_ids[first], image_ids[second])


def by_poses(image_ids: np.ndarray, images: list[pycolmap.Image], number: int, max_angle_deg: float) -> np.ndarray:
    """Pairs of each image with the ``number`` nearest ones that look the same way, lower ids first at a tie.

    images: those of the model, with poses, in the order of image_ids, [N] ascending; max_angle_deg: largest angle
    between viewing directions, for any roll of the cameras. Returns [P, 2] uint32, ascending.
    """
    positions = np.array([image.projection_center() for image in images]).reshape(-1, 3)
    directions = np.array([image.viewing_direction() for image in images]).reshape(-1, 3)
    least = np.cos(np.radians(max_angle_deg)) - 1e-12  # rounding, where all look exactly the same way

    known = np.isfinite(positions).all(axis=1)  # a damaged model may have others: near nothing
    image_ids, positions, directions = image_ids[known], positions[known], directions[known]

    def same_way(some: np.ndarray, others: np.ndarray) -> np.ndarray:
        return (directions[some] * directions[others]).sum(axis=2) >= least

    first, second = nearest_positions(positions, number, allowed=same_way)
    return unique_pairs(image_ids[first], image_ids[second])
