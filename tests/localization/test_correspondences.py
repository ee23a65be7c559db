import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.localization.correspondences import Correspondences


def rows(*given):
    """From tuples keypoint, point, image, similarity."""
    keypoint, point, image, similarity = (np.array(column) for column in zip(*given, strict=True))
    return Correspondences(keypoint, point, image, np.arange(len(keypoint)), similarity)


def test_a_keypoint_sees_the_point_that_most_images_say_and_of_several_the_most_alike():
    found = rows((4, 1, 0, 0.9), (4, 2, 1, 0.6), (4, 2, 2, 0.7), (7, 3, 0, 0.5), (7, 1, 1, 0.8))
    voted = found[found.voted()]
    assert voted.keypoint.tolist() == [4, 7]
    assert voted.point.tolist() == [2, 1]
    assert voted.similarity.tolist() == [0.7, 0.8]
    assert found.distinct == 2


def test_few_are_spread_over_the_picture_and_over_keypoints():
    found = rows((0, 0, 0, 0.99), (0, 0, 1, 0.98), (1, 1, 0, 0.97), (2, 2, 0, 0.96), (3, 3, 0, 0.5))
    xy = np.array([[1, 1], [1, 1], [2, 2], [3, 3], [90, 90.0]])
    assert found.spread(xy, 10, 2).tolist() == [0, 4]  # the best of either part
    assert found.spread(xy, 10, 4).tolist() == [0, 2, 3, 4]  # every keypoint before a second match of one
    assert found.spread(xy, 10, 9).tolist() == [0, 1, 2, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3), st.floats(0, 1)), max_size=40))
def test_every_keypoint_has_one_point_and_every_choice_is_a_part(drawn):
    found = rows(*drawn) if drawn else Correspondences(*(np.zeros(0, int) for _ in range(4)), np.zeros(0))
    voted = found.voted()
    assert found[voted].keypoint.tolist() == sorted(set(found.keypoint.tolist()))
    xy = np.column_stack([found.keypoint, found.point]).astype(float)
    chosen = found.spread(xy, 2.0, 7)
    assert len(chosen) == len(set(chosen.tolist())) == min(7, len(found))
