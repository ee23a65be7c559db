"""Where images see the points of tracks without an exact keypoint there: predicted from tracks around them.

Around each sure observation of a track, other tracks lie that both of two images see exactly. If these agree on a
local map, the track's place in the other image is known to a pixel or two, where the alignment of grey values starts.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array
from scipy.spatial import cKDTree

from d2sfm.refinement.collection import Collection
from d2sfm.refinement.tracks import Tracks

NEIGHBOURS = 12
LEAST_IN_COMMON = 30  # exact tracks of a pair of images, below which nothing is predicted
LARGEST_SPREAD_PX, LARGEST_DISTANCE_PX = 2.0, 120.0  # of what the neighbours say, and of the farthest; see ``predict``
ROBUST_PX, ROUNDS = 1.5, 3
RIDGE_PX = 2.0  # of offsets, that keep neighbours on a line from saying anything across it
LARGEST_CHANGE_OF_AREA = 5.0
MARGIN_PX = 16  # of the photograph, at its border


class Members(NamedTuple):
    """Of some nodes of tracks those of each image, by number of the image: a table of all tracks and images takes
    gigabytes where there are a thousand images of a million tracks."""

    tracks: list[np.ndarray]  # ascending
    nodes: list[np.ndarray]  # of these
    count: int  # of all tracks


class Predictions(NamedTuple):
    """Places of K tracks in images without a sure node of them. The most certain of each track and image."""

    track: np.ndarray  # [K]
    image: np.ndarray  # [K]
    xy: np.ndarray  # [K, 2] pixels of the photograph, upright
    warps: np.ndarray  # [K, 2, 2] from the reference's photograph, for offsets (x, y)


def predict(
    exact: Members,
    sure: Members,
    xy: np.ndarray,
    warps: np.ndarray,
    sizes: np.ndarray,
    unit_px: np.ndarray,
    into: np.ndarray,
    chosen: np.ndarray | None = None,
) -> Predictions:
    """Where tracks are in images that do not see them yet, or not surely.

    exact: the nodes that maps are made of; sure: those that tracks are followed from, and that need no prediction. xy:
    [N, 2] and warps: [N, 2, 2] of the nodes, as in ``Predictions``. sizes: [I, 2] (width, height) of the upright
    photographs; unit_px: [I] their pixels for one that the limits above are counted in. into: numbers of the images
    that are asked for; chosen: [T] bool, the tracks that are (default: all), whose nodes alone have warps then.
    """
    chosen = np.ones(exact.count, bool) if chosen is None else chosen
    found = [(*(np.zeros(0, int) for _ in "ab"), np.zeros((0, 2)), np.zeros((0, 2, 2)))]
    pairs = pairs_in_common(exact, exact, LEAST_IN_COMMON)
    for b in np.intersect1d(pairs[:, 1], into).tolist():  # image by image, as most places are predicted from several
        others = pairs[pairs[:, 1] == b, 0].tolist()
        of_pairs = [_of_pair(a, b, exact, sure, xy, warps, unit_px, chosen) for a in others]
        track, places, maps, doubt = (np.concatenate(column) for column in zip(*of_pairs, strict=True))
        inside = np.flatnonzero(((places > MARGIN_PX) & (places < sizes[b] - MARGIN_PX)).all(axis=1))
        order = inside[np.lexsort((doubt[inside], track[inside]))]
        best = order[np.unique(track[order], return_index=True)[1]]
        found.append((track[best], np.full(len(best), b), places[best], maps[best]))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.lexsort(columns[1::-1])
    return Predictions(*(column[order] for column in columns))


def pairs_in_common(some: Members, others: Members, least: int) -> np.ndarray:
    """Pairs of images that share at least a number of tracks: they are some's in the one and others' in the other, [P,
    2], ascending."""
    shared = (_incidence(some).T @ _incidence(others)).tocoo()
    has_least = (shared.data >= least) & (shared.row != shared.col)
    return np.unique(np.stack([shared.row, shared.col], axis=1)[has_least], axis=0)


def _incidence(members: Members) -> csc_array:
    """Which tracks are in which images, [T, I], 1 or 0."""
    tracks, first = np.concatenate(members.tracks), np.cumsum([0, *map(len, members.tracks)])
    return csc_array((np.ones(len(tracks), np.int32), tracks, first), (members.count, len(members.tracks)))


def _of_pair(a: int, b: int, exact: Members, sure: Members, xy, warps, unit_px, chosen) -> tuple[np.ndarray, ...]:
    """Of tracks that image a sees surely and b does not: columns of ``Predictions`` but the image, and how doubtful
    each is."""
    _, of_a, of_b = np.intersect1d(exact.tracks[a], exact.tracks[b], assume_unique=True, return_indices=True)
    both_a, both_b = exact.nodes[a][of_a], exact.nodes[b][of_b]
    is_asked = ~np.isin(sure.tracks[a], sure.tracks[b], assume_unique=True) & chosen[sure.tracks[a]]
    asked, nodes = sure.tracks[a][is_asked], sure.nodes[a][is_asked]
    places = xy[nodes]
    carried = carry(places, xy[both_a], xy[both_b], unit_px[a], unit_px[b])
    columns = asked, carried.xy, carried.maps @ warps[nodes], carried.doubt
    return tuple(column[carried.is_sure] for column in columns)


class Carried(NamedTuple):
    """Places of one image in another one, by what matches around them say. All [M], where rows that are not sure hold
    anything."""

    xy: np.ndarray  # [M, 2]
    maps: np.ndarray  # [M, 2, 2] for offsets (x, y)
    doubt: np.ndarray  # larger is worse
    is_sure: np.ndarray  # bool: the matches are near, and agree on a map that changes areas by a factor of 5 at most


def carry(places: np.ndarray, xy_a: np.ndarray, xy_b: np.ndarray, unit_a: float = 1.0, unit_b: float = 1.0) -> Carried:
    """Where places [M, 2] of image a lie in image b: by the affine map of the nearest of the matches xy_a, xy_b [N, 2],
    N >= NEIGHBOURS. unit_a, unit_b: pixels of either image for one that the limits above are counted in."""
    distance, near = cKDTree(xy_a).query(places, k=NEIGHBOURS)
    middle_a, middle_b, maps, spread = _local_maps(distance, xy_a[near], xy_b[near], unit_b)
    found = middle_b + np.einsum("nij,nj->ni", maps, places - middle_a)
    area = np.linalg.det(maps) * (unit_a / unit_b) ** 2
    spread, distance = spread / unit_b, distance[:, -1] / unit_a
    is_sure = (spread < LARGEST_SPREAD_PX) & (distance < LARGEST_DISTANCE_PX)
    is_sure &= (area > 1 / LARGEST_CHANGE_OF_AREA) & (area < LARGEST_CHANGE_OF_AREA)
    return Carried(found, maps, spread + distance / 100, is_sure)


def _local_maps(distance, of_a, of_b, unit_px: float) -> tuple[np.ndarray, ...]:
    """Affine maps that fit neighbours [M, K, 2] of two images robustly: both middles [M, 2], the maps [M, 2, 2], and
    what they are off [M]."""
    near = np.exp(-0.5 * (distance / np.maximum(distance[:, -1:], 1e-9)) ** 2)
    weight, ridge = near, (RIDGE_PX * unit_px) ** 2 * np.eye(2)
    for _ in range(ROUNDS + 1):
        share = (weight / weight.sum(axis=1, keepdims=True))[..., None]
        middle_a, middle_b = (share * of_a).sum(axis=1), (share * of_b).sum(axis=1)
        offset_a, offset_b = of_a - middle_a[:, None], of_b - middle_b[:, None]
        weighted = (weight[..., None] * offset_a).transpose(0, 2, 1)
        maps = (weighted @ offset_b + ridge).transpose(0, 2, 1) @ np.linalg.inv(weighted @ offset_a + ridge)
        left = np.linalg.norm(offset_b - offset_a @ maps.transpose(0, 2, 1), axis=2)
        used, weight = share[..., 0], near / (1 + (left / (ROBUST_PX * unit_px)) ** 2)
    return middle_a, middle_b, maps, np.sqrt((used * left**2).sum(axis=1))


def members(tracks: Tracks, collection: Collection, nodes: np.ndarray) -> Members:
    """Of these nodes, which are in tracks, those of each image."""
    image_of_node = collection.image_of_node
    nodes = nodes[np.lexsort((tracks.of_node[nodes], image_of_node[nodes]))]
    of_images = np.split(nodes, np.searchsorted(image_of_node[nodes], np.arange(1, len(collection.images))))
    return Members([tracks.of_node[each] for each in of_images], of_images, len(tracks.reference))
