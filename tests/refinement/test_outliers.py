"""Outliers: keypoints that their image and their track can spare. Refuted matches: of two points."""

import numpy as np
import pytest

from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.rows import UnusableRow
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.outliers import OUTLIER, refuted_matches, with_outliers
from d2sfm.refinement.tracks import Edges, Tracks

IMAGES, TRACKS = 4, 10
# All images see all tracks, whose references are in the first one.
TRACKS_OF_ALL = Tracks(np.tile(np.arange(TRACKS), IMAGES), np.arange(TRACKS))


def exact(*counts):
    """Sigmas [IMAGES, TRACKS] of which the first ones of each image are finite."""
    return np.where(np.arange(TRACKS) < np.array(counts)[:, None], 0.1, np.nan)


def outliers(sigmas, stands=()):
    """stands: numbers of images that are not aligned, beside the references."""
    images = np.repeat(np.arange(IMAGES), TRACKS)
    moving = np.flatnonzero(~np.isin(images, [0, *stands]))
    found = with_outliers(TRACKS_OF_ALL, images, moving, sigmas.ravel()).reshape(sigmas.shape)
    np.testing.assert_array_equal(found[found != OUTLIER], sigmas[found != OUTLIER])
    return np.argwhere(found == OUTLIER).tolist()


@pytest.mark.parametrize(("of_last", "expected"), [(6, 4), (5, 0), (1, 0)])
def test_only_where_most_of_an_image_are_exact(of_last, expected):
    found = outliers(exact(10, 10, 10, of_last))
    assert [image for image, _ in found] == [3] * expected


def test_only_in_tracks_that_three_images_see_surely():
    assert outliers(exact(10, 8, 9, 6)) == [[3, 6], [3, 7]]  # with the reference; of 8 and 9 too few are sure
    assert outliers(exact(0, 8, 9, 6)) == [[3, 6], [3, 7]]  # a reference is sure by itself


def test_none_among_what_stays():
    assert outliers(exact(10, 10, 6, 6), stands=(1, 3)) == []
    assert [image for image, _ in outliers(exact(10, 10, 6, 10), stands=(1, 3))] == [2] * 4


class Matches:
    """In place of a ``MatchStore``."""

    def __init__(self, of_pairs):
        self._of_pairs = of_pairs

    def done_pairs(self, verified):
        return np.array([int(pair_ids(*pair)) for pair in self._of_pairs])

    def matches(self, a, b):
        if self._of_pairs[a, b] is None:
            raise UnusableRow("db.db", "a - b", "is broken")
        return np.array(self._of_pairs[a, b], np.uint32).reshape(-1, 2)


def test_matches_of_two_tracks_or_of_outliers_are_refuted_and_no_others():
    of_image = {"name": "", "image_size": (9, 9), "input_size": (9, 9), "xy": np.zeros((6, 2)), "scale": np.ones(6)}
    images = [ImageKeypoints(image_id=image_id, **of_image) for image_id in (5, 6, 7)]
    edges = Edges(*(np.zeros(0, int) for _ in "ab"), np.zeros(0))
    collection = Collection(images=images, edges=edges, warps=np.zeros((0, 2, 2)))
    tracks = Tracks(np.tile([0, 1, 2, 3, 4, -1], 3), np.arange(5))
    sigmas = np.array([0.1, 0.1, 0.1, OUTLIER, np.nan, np.nan] * 3)
    sigmas[6] = OUTLIER  # of track 0 in image 6
    all_ = [(a, b) for a in range(7) for b in range(7)]  # keypoint 6 is not in the collection
    of_pairs = {(5, 6): all_, (5, 7): all_, (6, 7): None, (5, 99): all_}
    found = refuted_matches(Matches(of_pairs), collection, tracks, sigmas, frozenset({5}))
    assert found.keys() == {(5, 6), (5, 7)}
    assert found[5, 7].tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    # Of image 6, keypoint 0 is no observation of track 0, but maybe of another one.
    assert found[5, 6].tolist() == [[0, 0], [0, 1], [0, 2], [1, 2], [2, 1]]
    assert refuted_matches(Matches(of_pairs), collection, tracks, sigmas, frozenset({6})).keys() == {(5, 6)}
