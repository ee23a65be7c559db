import numpy as np
from support.grey_texture import photograph

from d2sfm.evaluation.root_sift import root_sift
from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.options import MatchingOptions


def blobs(*centres):
    """Grey picture with soft spots at these places, pixel centres at integers."""
    y, x = np.mgrid[:96, :96]
    spots = sum(np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 3.0**2)) for at in centres)
    return np.rint(40 + 180 * spots).astype(np.uint8)


def test_positions_count_from_the_centre_of_the_first_pixel():
    xy, descriptors = root_sift(blobs((30, 40)))
    # Of the spot itself, however often it is described; OpenCV's pyramid may shift it by a quarter of a pixel.
    assert np.abs(xy - (30, 40)).max(1).min() < 0.3
    assert (xy.dtype, descriptors.dtype, descriptors.shape) == (np.float32, np.float32, (len(xy), 128))
    assert np.allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-3)


def test_keypoints_are_matched_where_they_moved_to():
    pictures = photograph((160, 120))[..., 0], photograph((160, 120), np.array([[1, 0, 5], [0, 1, 3.0]]))[..., 0]
    (xy_a, a), (xy_b, b) = map(root_sift, pictures)
    for ratio in (None, 0.8):
        matches = mutual_nearest_neighbours(a, b, MatchingOptions(ratio=ratio))
        right = np.abs(xy_a[matches[:, 0]] - xy_b[matches[:, 1]] - (5, 3)).max(1) < 0.5
        assert len(matches) > 20
        assert right.mean() > 0.8


def test_the_strongest_are_kept():
    picture = photograph((160, 120))[..., 0]
    xy, descriptors = root_sift(picture)
    few, of_few = root_sift(picture, max_features=7)
    assert len(xy) > len(few) == 7
    assert {tuple(each) for each in few} <= {tuple(each) for each in xy}
    assert np.array_equal(of_few, descriptors[:7])


def test_a_picture_of_nothing_has_none():
    xy, descriptors = root_sift(np.full((64, 64), 90, np.uint8))
    assert (xy.shape, descriptors.shape) == ((0, 2), (0, 128))
