"""Matches that a geometry allows: with a known geometry of two pictures, the match of a keypoint is the most similar
one in the right place.

In pictures that differ much, the true match is often the second or fifth most similar, as on a facade of similar
windows.
"""

from dataclasses import dataclass

import numpy as np
import pycolmap
import torch

from d2sfm.database.pair_rows import are_among
from d2sfm.matching.neighbours import BLOCK_ROWS, product, product_precision
from d2sfm.matching.prosac import Relation, plane_errors, without_distortion
from d2sfm.matching.verification import estimate_again
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions

# Most similar descriptors of the other picture that are looked at. Any of them may lie on a line, so more of them bring
# false matches; a plane says where the match is. On graffiti (1-4, 1-5), with 3, 5 and 10 of a line, there were 31, 54
# and 57 more true matches than with 2, and 68, 115 and 182 more false ones.
NEIGHBOURS = {Relation.EPIPOLAR: 2, Relation.PLANE: 10}

_Kind = pycolmap.TwoViewGeometryConfiguration
PLANES = (_Kind.PLANAR, _Kind.PANORAMIC, _Kind.PLANAR_OR_PANORAMIC)


@dataclass(frozen=True, kw_only=True)
class Guide:
    """What a geometry says about the keypoints of two pictures.

    xy_a, xy_b: [N, 2] and [M, 2] float64, positions for which matrix, [3, 3] from a to b, holds: a fundamental matrix
    or homography, by relation. max_error_px: largest error, in the same pixels.
    """

    relation: Relation
    matrix: np.ndarray
    xy_a: np.ndarray
    xy_b: np.ndarray
    max_error_px: float

    def allows(self, pairs: np.ndarray) -> np.ndarray:
        """Which pairs of indices, [P, 2], agree with the geometry: [P] bool. Errors are COLMAP's (Sampson's)."""
        a, b = self.xy_a[pairs[:, 0]], self.xy_b[pairs[:, 1]]
        if self.relation is Relation.PLANE:
            return plane_errors(a, b, self.matrix) <= self.max_error_px
        return np.array(pycolmap.compute_squared_sampson_error(a, b, self.matrix)) <= self.max_error_px**2


@dataclass(frozen=True, kw_only=True)
class GuidedPair:
    """Matches of a pair, [K, 2] uint32, ascending in a, their similarities, [K] float16, and their geometry."""

    matches: np.ndarray
    similarities: np.ndarray
    geometry: pycolmap.TwoViewGeometry


def match_again(
    a: View,
    b: View,
    descriptors: tuple[torch.Tensor, torch.Tensor],
    before: GuidedPair,
    options: VerificationOptions,
    *,
    max_error_px: float,
    names: tuple[str, str],
    refuted: np.ndarray | None = None,
) -> GuidedPair:
    """A verified pair with matches that its geometry allows, and the geometry estimated again.

    max_error_px, names: see ``verify``; refuted: as of ``PairTask``. Earlier matches stay if they share no keypoint
    with an agreeing one. Nothing changes without a guide, or if fewer matches than before would agree.
    """
    found = guide(a, b, before.geometry, max_error_px)
    if found is None:
        return before
    agree = are_among(before.matches, before.geometry.inlier_matches)
    candidates = _joined(guided_matches(*descriptors, found), (before.matches[agree], before.similarities[agree]))
    if refuted is not None:
        is_open = ~are_among(candidates[0], refuted)
        candidates = candidates[0][is_open], candidates[1][is_open]
    geometry = estimate_again(a, b, candidates[0], options, max_error_px=max_error_px, names=names)
    if len(geometry.inlier_matches) < len(before.geometry.inlier_matches):
        return before
    matches, similarities = _joined(candidates, (before.matches, before.similarities))
    return GuidedPair(matches=matches, similarities=similarities, geometry=geometry)


def guide(a: View, b: View, geometry: pycolmap.TwoViewGeometry, max_error_px: float) -> Guide | None:
    """What a verified geometry says about all keypoints of two images.

    None without a geometry, and for cameras for which it does not hold within the error: panoramas, most fisheyes and
    lenses of strong distortion, see ``prosac.without_distortion``.
    """
    flat = [without_distortion(view.camera, view.keypoints, max_error_px) for view in (a, b)]
    if not len(geometry.inlier_matches) or any(xy is None for xy in flat):
        return None
    kind, raw = _Kind(geometry.config), [np.asarray(view.keypoints, np.float64) for view in (a, b)]
    if kind in PLANES:  # of the pictures as they are, as COLMAP estimates it
        relation, matrix, positions = Relation.PLANE, geometry.H, raw
    elif kind == _Kind.UNCALIBRATED:
        relation, matrix, positions = Relation.EPIPOLAR, geometry.F, raw
    elif kind == _Kind.CALIBRATED:
        to_a, to_b = (np.linalg.inv(view.camera.calibration_matrix()) for view in (a, b))
        relation, matrix, positions = Relation.EPIPOLAR, to_b.T @ geometry.E @ to_a, flat
    else:
        return None
    return Guide(relation=relation, matrix=matrix, xy_a=positions[0], xy_b=positions[1], max_error_px=max_error_px)


def _joined(
    matches: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Matches with their similarities, and the other matches that share no keypoint with them, ascending in a."""
    free = ~np.any([np.isin(of_others, own) for of_others, own in zip(others[0].T, matches[0].T, strict=True)], axis=0)
    joined, similarities = (np.concatenate([own, each[free]]) for own, each in zip(matches, others, strict=True))
    order = np.argsort(joined[:, 0])
    return joined[order], similarities[order]


@torch.inference_mode()
def guided_matches(
    descriptors_a: torch.Tensor, descriptors_b: torch.Tensor, guide: Guide, *, block_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of descriptors that are each other's nearest among those that a geometry allows.

    descriptors_a: [N, D], descriptors_b: [M, D], float16 or float32 on one device, rows of unit length; N and M may be
    0, and below the number of positions, whose first rows belong to them. block_rows: as of
    ``mutual_nearest_neighbours``.

    Only the ``NEIGHBOURS`` most similar ones of each descriptor count, on either side. All mutual nearest neighbours
    that the geometry allows are in the result, so no match that agreed before is lost. Returns [K, 2] uint32, indices
    into a and b, ascending in a, and their cosine similarities, [K] float16.
    """
    if not len(descriptors_a) or not len(descriptors_b):
        return np.zeros((0, 2), np.uint32), np.zeros(0, np.float16)
    block_rows = block_rows or BLOCK_ROWS[descriptors_a.device.type]
    pairs, similarity = _nearest_few(descriptors_a, descriptors_b, NEIGHBOURS[guide.relation], block_rows)
    allowed = guide.allows(pairs)
    pairs, similarity = pairs[allowed], similarity[allowed]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -similarity))  # of equal ones that of the lowest indices is nearer
    firsts = [order[np.unique(of_side[order], return_index=True)[1]] for of_side in pairs.T]
    mutual = np.intersect1d(*firsts, assume_unique=True)
    mutual = mutual[np.argsort(pairs[mutual, 0])]
    return pairs[mutual].astype(np.uint32), similarity[mutual].astype(np.float16)


def _nearest_few(a: torch.Tensor, b: torch.Tensor, neighbours: int, block_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with one among the ``NEIGHBOURS`` nearest of the other: [P, 2] int64, each once, and similarities [P]."""
    found = []  # rows of a, rows of b and similarities
    rows_of_b = torch.zeros((len(b), 0), dtype=torch.int64, device=b.device)
    values_of_b = torch.zeros((len(b), 0), device=b.device)
    with product_precision(b.device, exact_in_tf32=a.dtype == b.dtype == torch.float16):
        b = b.to(torch.float32).contiguous()
        for start in range(0, len(a), block_rows):
            similarity = product(b, a[start : start + block_rows].to(torch.float32))
            count = similarity.shape[1]
            values, columns = similarity.topk(min(neighbours, len(b)), dim=0)
            found.append((torch.arange(start, start + count, device=b.device).expand_as(columns), columns, values))
            values, rows = similarity.topk(min(neighbours, count), dim=1)  # of this block, then of all until now
            values_of_b, rows_of_b = torch.cat([values_of_b, values], 1), torch.cat([rows_of_b, rows + start], 1)
            values_of_b, place = values_of_b.topk(min(neighbours, values_of_b.shape[1]), dim=1)
            rows_of_b = rows_of_b.gather(1, place)
    found.append((rows_of_b, torch.arange(len(b), device=b.device)[:, None].expand_as(rows_of_b), values_of_b))
    of_a, of_b, similarity = (
        torch.cat([each.flatten() for each in parts]).cpu().numpy() for parts in zip(*found, strict=True)
    )
    _, first = np.unique(of_a * len(b) + of_b, return_index=True)
    return np.column_stack([of_a, of_b])[first], similarity[first]
