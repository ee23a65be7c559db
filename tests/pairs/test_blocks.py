import numpy as np
import pytest
from scipy.spatial import cKDTree

from d2sfm.pairs import blocks as blocks_of
from d2sfm.pairs.arrays import exhaustive, unique_pairs
from d2sfm.pairs.blocks import images_read, in_common, pair_blocks


def nearest_pairs(positions, number=10, far=0.0):
    """Pairs of each position with the nearest others, a part of them with any."""
    generator, count = np.random.default_rng(1), len(positions)
    first = np.repeat(np.arange(count), number)
    second = cKDTree(positions).query(positions, number + 1)[1][:, 1:].ravel()
    second = np.where(generator.random(len(second)) < far, generator.integers(0, count, len(second)), second)
    return unique_pairs(*np.stack([first, second])[:, first != second] + 7)


GENERATOR = np.random.default_rng(0)
STREET = nearest_pairs(np.column_stack([GENERATOR.permutation(300), np.zeros(300)]))
TOWN = nearest_pairs(GENERATOR.uniform(size=(300, 2)))
MISLED = nearest_pairs(GENERATOR.uniform(size=(300, 2)), far=0.1)


@pytest.mark.parametrize(
    "pairs", [STREET, TOWN, MISLED, exhaustive(range(3, 60))], ids=["street", "town", "far", "all"]
)
def test_each_pair_is_in_one_block_and_no_block_has_too_much(pairs):
    blocks = pair_blocks(pairs, 150, 40)
    assert np.array_equal(unique_pairs(*np.concatenate(blocks).T), pairs)
    assert sum(map(len, blocks)) == len(pairs)
    assert max(map(len, blocks)) <= 150
    assert max(len(np.unique(block)) for block in blocks) <= 40
    assert all((block[:, 0] < block[:, 1]).all() for block in blocks)


@pytest.mark.parametrize(("pairs", "most"), [(STREET, 1.5), (TOWN, 3), (MISLED, 6)], ids=["street", "town", "far"])
def test_images_are_in_few_blocks(pairs, most):
    """Of these pairs in the order of ids each block would have as many images as it may: 20 and more for each image."""
    assert images_read(pair_blocks(pairs, 500, 60)) / 300 < most


def test_of_very_many_pairs_no_neighbours_in_common_are_counted(monkeypatch):
    pairs = exhaustive(range(1, 30))
    assert (in_common(pairs - 1, 29) == 27).all()
    monkeypatch.setattr(blocks_of, "MOST_PATHS", 0)
    assert not in_common(pairs - 1, 29).any()
    assert np.array_equal(unique_pairs(*np.concatenate(pair_blocks(pairs, 50, 20)).T), pairs)


def test_the_order_of_the_pairs_does_not_matter():
    blocks, again = pair_blocks(TOWN, 100, 50), pair_blocks(TOWN[::-1], 100, 50)
    assert len(blocks) == len(again)
    assert all(map(np.array_equal, blocks, again))


def test_a_block_of_two_images():
    blocks = pair_blocks(exhaustive([1, 2, 3]), 9, 2)
    assert sorted(block.tolist() for block in blocks) == [[[1, 2]], [[1, 3]], [[2, 3]]]
