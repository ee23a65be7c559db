"""Groups of images that pairs connect, and the pairs of each."""

import numpy as np
import pytest

from d2sfm.database.pair_ids import connected_groups, rows_by_image


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


@pytest.mark.parametrize("count", [0, 1, 200])
def test_rows_of_an_image_are_those_that_a_search_finds(count):
    first = np.random.default_rng(0).integers(1, 20, count)
    pairs = np.column_stack([first, first + np.random.default_rng(1).integers(1, 20, count)]).astype(np.uint32)
    rows = rows_by_image(pairs)
    for image_id in range(45):
        assert rows[image_id].tolist() == np.flatnonzero((pairs == image_id).any(axis=1)).tolist()
