"""Tracks of three images, some of which do not see some: what predictions are made from."""

import numpy as np
from support.grey_texture import apply

from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.prediction import members, predict
from d2sfm.refinement.tracks import Edges, Tracks

SIZE = (400, 300)
FROM_FIRST = [
    np.array([[1.0, 0, 0], [0, 1, 0]]),
    np.array([[0.95, 0.1, 12.0], [-0.08, 1.05, -9.0]]),
    np.array([[1.1, 0.0, -30.0], [0.05, 0.9, 20.0]]),
]
TRACKS = 120


def tracks_in_images():
    """Which images see which track, [T, I] bool: all in the first, most in the others."""
    found = np.random.default_rng(0).random((TRACKS, 3)) < 0.75
    found[:, 0] = True
    found[~found[:, 1:].any(axis=1), 1] = True
    return found


def views(seen, disturbed_px=0.0):
    """A collection of nodes at the places that the images see, its tracks (references in the first image), positions
    and warps in pixels of the photographs."""
    random = np.random.default_rng(1)
    places = random.uniform((60, 60), (340, 240), (TRACKS, 2))
    images, tracks, warps = [], [], []
    for number, affine in enumerate(FROM_FIRST):
        here = np.flatnonzero(seen[:, number])
        xy = apply(affine, places[here]) - 0.5
        if number:
            xy += random.uniform(-disturbed_px, disturbed_px, xy.shape)
        images.append(
            ImageKeypoints(
                image_id=3 - number, name="", image_size=SIZE, input_size=SIZE, xy=xy, scale=np.ones(len(here))
            )
        )
        tracks.append(here)
        warps.append(np.tile(affine[:, :2], (len(here), 1, 1)))
    edges = Edges(*(np.zeros(0, int) for _ in "ab"), np.zeros(0))
    collection = Collection(images=images, edges=edges, warps=np.zeros((0, 2, 2)))
    tracks = Tracks(np.concatenate(tracks), np.arange(TRACKS))
    return places, collection, tracks, collection.xy + 0.5, np.concatenate(warps)


def predicted(collection, tracks, xy, warps, exact=None, sure=None, unit_px=1.0, into=None):
    nodes = (np.arange(len(xy)) if some is None else some for some in (exact, sure))
    exact, sure = (members(tracks, collection, some) for some in nodes)
    count = len(collection.images)
    into = np.arange(count) if into is None else into
    return predict(exact, sure, xy, warps, np.array([SIZE] * count), np.full(count, float(unit_px)), into)
