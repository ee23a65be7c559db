"""Where tracks continue in images that see their point but have no exact keypoint there: predicted from exact ones.

Around each sure observation of a track, other tracks lie that both of two images see exactly. If these agree on a
local map, the track's place in the other image is known to a pixel or two, where the alignment of grey values starts.

An image may have a keypoint of the track that was not exact. Near the place where the point is found it was only drawn
aside, and is put right. Elsewhere it is of another point, that looks like this one.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array
from scipy.spatial import cKDTree

from d2sfm.coordinates import input_from_image
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.outliers import OUTLIER
from d2sfm.refinement.tracks import Tracks

NEIGHBOURS = 12
LEAST_IN_COMMON = 30  # exact tracks of a pair of images, below which nothing is predicted
LARGEST_SPREAD_PX, LARGEST_DISTANCE_PX = 2.0, 120.0  # of what the neighbours say, and of the farthest; see ``predict``
ROBUST_PX, ROUNDS = 1.5, 3
RIDGE_PX = 2.0  # of offsets, that keep neighbours on a line from saying anything across it
LARGEST_CHANGE_OF_AREA = 5.0
MARGIN_PX = 16  # of the photograph, at its border
# Of the network's input, one cell of its features: how far a keypoint may be from the place of its track's point.
NEAR_PX = 4.0


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
    pairs = _pairs_in_common(exact, exact, LEAST_IN_COMMON)
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


def _pairs_in_common(some: Members, others: Members, least: int) -> np.ndarray:
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


class Extended(NamedTuple):
    """A collection whose images have more nodes, behind those that they had, of the tracks that are predicted there."""

    collection: Collection
    tracks: Tracks
    xy: np.ndarray  # [N + K, 2] pixels of the inputs
    warps: np.ndarray  # [N + K, 2, 2] as of ``photograph_warps``
    old: np.ndarray  # [N] the existing nodes, by their old numbers
    new: np.ndarray  # [K] those of the predictions
    own: np.ndarray  # [K] the node that the image had of the same track, by its old number, or -1


def extend(
    collection: Collection, tracks: Tracks, xy: np.ndarray, warps: np.ndarray, predictions: Predictions
) -> Extended:
    """Add predictions to what they were made of. xy: [N, 2] pixels of the inputs; warps: as of ``photograph_warps``."""
    counts = np.bincount(predictions.image, minlength=len(collection.images))
    shift = np.concatenate([[0], np.cumsum(counts)])
    old = np.arange(len(xy)) + shift[collection.image_of_node]
    order = np.argsort(predictions.image, kind="stable")
    new = np.empty(len(order), np.int64)
    new[order] = np.arange(len(order)) + collection.first_node[1:][predictions.image[order]]
    total = len(old) + len(new)
    of_node, all_xy, all_warps = np.full(total, -1), np.empty((total, 2)), np.empty((total, 2, 2))
    of_node[old], of_node[new] = tracks.of_node, predictions.track
    all_xy[old], all_warps[old], all_warps[new] = xy, warps, predictions.warps
    there, own = members(tracks, collection, np.flatnonzero(tracks.of_node >= 0)), np.full(len(new), -1)
    images = []
    for number, image in enumerate(collection.images):
        here = order[shift[number] : shift[number + 1]]
        both = predictions.track[here], there.tracks[number]
        _, some, of_image = np.intersect1d(*both, assume_unique=True, return_indices=True)
        own[here[some]] = there.nodes[number][of_image]
        all_xy[new[here]] = input_from_image(predictions.xy[here], image.input_size, image.upright_size)
        first = collection.first_node[number] + shift[number]
        scale = np.concatenate([image.scale, np.ones(len(here))])
        images.append(replace(image, xy=all_xy[first : first + len(scale)], scale=scale))
    edges = collection.edges._replace(a=old[collection.edges.a], b=old[collection.edges.b])
    extended = replace(collection, images=images, edges=edges)
    return Extended(extended, Tracks(of_node, old[tracks.reference]), all_xy, all_warps, old, new, own)


class Corrected(NamedTuple):
    """What was found of predictions, told apart: of the N nodes that were there, by their old numbers, and of all N +
    K, by those of ``Extended``."""

    xy: np.ndarray  # [N, 2] pixels of the inputs
    sigmas: np.ndarray  # [N] pixels of the photograph: NaN where they are not known, or OUTLIER
    found: np.ndarray  # [N + K, 3] as of ``as_rows``: of what becomes new keypoints alone


def corrected(
    extended: Extended, start: np.ndarray, xy: np.ndarray, sigmas: np.ndarray, found: np.ndarray
) -> Corrected:
    """Put nodes right that images had of predicted tracks, or call them outliers where their point is elsewhere.

    start: [N, 2] where the nodes were before they were aligned; xy, sigmas: as of ``Corrected``; found: [N + K, 3] of
    the predictions, as of ``GreyAdjustment.move``, NaN for others.
    """
    xy, sigmas, found = xy.copy(), sigmas.copy(), found.copy()
    rows = np.flatnonzero(np.isfinite(found[extended.new, 2]))
    new, own = extended.new[rows], extended.own[rows]
    # Its alignment may have led a keypoint astray.
    off_px = np.min([np.linalg.norm(found[new, :2] - before[own], axis=1) for before in (start, xy)], axis=0)
    is_near = (own >= 0) & (off_px <= NEAR_PX)
    sigmas[own[(own >= 0) & ~is_near]] = OUTLIER
    xy[own[is_near]], sigmas[own[is_near]] = found[new[is_near], :2], found[new[is_near], 2]
    references = np.searchsorted(extended.old, extended.tracks.reference[extended.tracks.of_node[new]])
    np.fmin.at(sigmas, references, found[new, 2])
    found[new[is_near]] = np.nan
    return Corrected(xy, sigmas, found)


def members(tracks: Tracks, collection: Collection, nodes: np.ndarray) -> Members:
    """Of these nodes, which are in tracks, those of each image."""
    image_of_node = collection.image_of_node
    nodes = nodes[np.lexsort((tracks.of_node[nodes], image_of_node[nodes]))]
    of_images = np.split(nodes, np.searchsorted(image_of_node[nodes], np.arange(1, len(collection.images))))
    return Members([tracks.of_node[each] for each in of_images], of_images, len(tracks.reference))


class Continued(NamedTuple):
    """What is new in a database, by ids of images: see ``RefinementStore.replace``."""

    keypoints: dict[int, np.ndarray]  # [K, 4]
    matches: dict[tuple[int, int], np.ndarray]  # [M, 2] with the exact keypoints of their track, and with each other
    sigmas: dict[int, np.ndarray]  # [K]


NOTHING_NEW = Continued({}, {}, {})


def as_rows(extended: Extended, exact: np.ndarray, found: np.ndarray) -> Continued:
    """Of what was found of all nodes, [N + K, 3] as of ``GreyAdjustment.move``, NaN where nothing is new; exact: [M]
    the existing nodes, by their new numbers, that new ones are matched with."""
    images, of_image = extended.collection.images, extended.collection.image_of_node
    new = np.sort(extended.new[np.isfinite(found[extended.new, 2])])
    own = np.bincount(of_image[extended.old], minlength=len(images))
    first = extended.collection.first_node
    row, is_new = np.arange(len(found)) - first[of_image], np.zeros(len(found), bool)
    row[new] = own[of_image[new]] + np.arange(len(new)) - np.searchsorted(of_image[new], of_image[new])
    is_new[new] = True
    keypoints, sigmas, matches = {}, {}, {}
    of_images = np.split(new, np.searchsorted(of_image[new], np.arange(1, len(images))))
    for image, here in zip(images, of_images, strict=True):
        if not len(here):
            continue
        columns = image.in_image(found[here, :2]), np.full(len(here), max(image.per_input_px)), np.zeros(len(here))
        keypoints[image.image_id], sigmas[image.image_id] = np.column_stack(columns), found[here, 2]
    of_new, of_all = (
        members(extended.tracks, extended.collection, nodes) for nodes in (new, np.concatenate([exact, new]))
    )
    pairs = _pairs_in_common(of_new, of_all, 1)
    for a, b in np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0).tolist():
        if images[a].image_id < images[b].image_id:
            _, *both = np.intersect1d(of_all.tracks[a], of_all.tracks[b], assume_unique=True, return_indices=True)
            of_a, of_b = (of_all.nodes[image][rows] for image, rows in zip((a, b), both, strict=True))
            joined = is_new[of_a] | is_new[of_b]
            matches[images[a].image_id, images[b].image_id] = np.stack([row[of_a[joined]], row[of_b[joined]]], axis=1)
    return Continued(keypoints, matches, sigmas)
