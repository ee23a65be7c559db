"""How much of a scene two images share: overlap, ratio of scales, angle between the directions of view.

Points and images form a sparse matrix. Image by image its points' other observers are gathered at once, so the work is
the sum of squared track lengths, and the memory that of the n x n results and of one image's share.
"""

import numpy as np
from scipy import sparse


def overlap_and_scale_ratio(
    points: np.ndarray, normalised_depths: np.ndarray, image_ptr: np.ndarray, has_depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of a scene of n images and m observations, each [n, n] float64.

    points: [m] integers, the observed points, numbered from 0 and distinct within an image. normalised_depths: [m]
    float64, above 0 in images with depth. image_ptr: [n + 1] int64, the observations of image k are
    image_ptr[k] to image_ptr[k + 1]. has_depth: [n] bool.

    overlap[i, j] is the share of i's points that j sees too; -1 on the diagonal and where i or j has no depth.
    scale_ratio[i, j] is the least max(d_i / d_j, d_j / d_i) over common points; -1 also where there are none.
    """
    counts, scale_ratio = _common_points(points, normalised_depths, image_ptr, has_depth)
    overlap = counts / np.maximum(np.diff(image_ptr), 1)[:, None]
    scale_ratio[counts == 0] = -1
    for matrix in (overlap, scale_ratio):
        matrix[~has_depth] = matrix[:, ~has_depth] = -1
        np.fill_diagonal(matrix, -1)
    return overlap, scale_ratio


def _common_points(points, normalised_depths, image_ptr, has_depth) -> tuple[np.ndarray, np.ndarray]:
    """Number of common points, [n, n] int64, and least ratio of depths, [n, n] float64, inf where there are none."""
    n = has_depth.size
    image_of = np.repeat(np.arange(n), np.diff(image_ptr))
    kept = has_depth[image_of]
    shape = (n, points.max(initial=-1) + 1)
    depths = sparse.csr_array((normalised_depths[kept], (image_of[kept], points[kept])), shape=shape)
    observers = depths.T.tocsr()  # one row for each point, its images ascending
    counts, ratios = np.zeros((n, n), np.int64), np.full((n, n), np.inf)
    first = observers.indptr[:-1].copy()  # of each point's row, the first observer behind the image in hand
    for image in range(n):
        own = slice(depths.indptr[image], depths.indptr[image + 1])
        own_points = depths.indices[own]
        first[own_points] += 1
        starts = first[own_points]
        lengths = observers.indptr[own_points + 1] - starts
        shared = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        shared += np.arange(shared.size, dtype=shared.dtype)
        partners = observers.indices[shared]
        quotients = np.repeat(depths.data[own], lengths) / observers.data[shared]
        counts[image] = np.bincount(partners, minlength=n)
        np.minimum.at(ratios[image], partners, np.maximum(quotients, 1 / quotients))
    return counts + counts.T, np.minimum(ratios, ratios.T)


def view_angles_deg(poses: np.ndarray) -> np.ndarray:
    """Angles between principal axes, [n, n] float64 degrees, of poses [n, 4, 4] (cam_from_world).

    -1 where a pose is NaN. Exact to rounding for equal and opposite axes, where an arc cosine loses half the digits.
    """
    axes = poses[:, 2, :3]
    angles = np.empty((len(axes), len(axes)))
    for row, axis in zip(angles, axes, strict=True):
        difference, total = np.linalg.norm(axes - axis, axis=1), np.linalg.norm(axes + axis, axis=1)
        row[:] = np.degrees(2 * np.arctan2(difference, total))
    return np.nan_to_num(angles, nan=-1.0)
