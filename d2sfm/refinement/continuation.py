"""What is found where tracks are predicted: new keypoints, and keypoints that are put right or left out.

An image may have a keypoint of the track that was not exact. Near the place where the point is found it was only drawn
aside, and is put right. Elsewhere it is of another point, that looks like this one.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from d2sfm.coordinates import input_from_image
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.outliers import OUTLIER
from d2sfm.refinement.prediction import Predictions, members, pairs_in_common
from d2sfm.refinement.tracks import Tracks

# Of the network's input, one cell of its features: how far a keypoint may be from the place of its track's point.
NEAR_PX = 4.0


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
    pairs = pairs_in_common(of_new, of_all, 1)
    for a, b in np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0).tolist():
        if images[a].image_id < images[b].image_id:
            _, *both = np.intersect1d(of_all.tracks[a], of_all.tracks[b], assume_unique=True, return_indices=True)
            of_a, of_b = (of_all.nodes[image][rows] for image, rows in zip((a, b), both, strict=True))
            joined = is_new[of_a] | is_new[of_b]
            matches[images[a].image_id, images[b].image_id] = np.stack([row[of_a[joined]], row[of_b[joined]]], axis=1)
    return Continued(keypoints, matches, sigmas)
