"""Groups of images that pairs connect."""

import numpy as np
import pytest

from d2sfm.database.pair_ids import connected_groups


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([[1, 2], [4, 5], [5, 6]], [[4, 5, 6], [1, 2]]),
        ([[9, 7], [2, 3]], [[2, 3], [7, 9]]),
        ([[1, 2], [3, 4], [2, 3]], [[1, 2, 3, 4]]),
    ],
)
def test_groups_are_largest_first(pairs, expected):
    assert [group.tolist() for group in connected_groups(np.array(pairs))] == expected


def test_no_pair_connects_nothing():
    assert connected_groups(np.zeros((0, 2), np.uint32)) == []
