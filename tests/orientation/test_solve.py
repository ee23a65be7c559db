"""Turns of pictures from the agreement of pairs, on graphs whose turns are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.orientation.solve import PAIR_MARGIN, SURE_MARGIN, solve


def agreement(pairs: np.ndarray, quarters: np.ndarray, margin: int = 3 * SURE_MARGIN) -> np.ndarray:
    """Inliers, [P, 4], where pictures that were turned by so many quarters fit each other with a margin."""
    inliers = np.full((len(pairs), 4), 5)
    # The second one, turned by k, stands like the first where both were turned alike in the end.
    relative = (quarters[pairs[:, 0]] - quarters[pairs[:, 1]]) % 4
    inliers[np.arange(len(pairs)), relative] += margin
    return inliers


def all_pairs(count: int) -> np.ndarray:
    return np.stack(np.triu_indices(count, 1), axis=1)


def none_fixed(count: int) -> np.ndarray:
    return np.zeros(count, bool)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(0, 1000))
def test_pictures_in_a_chain_come_to_the_commonest_turn(turned, seed):
    turned = np.array(turned)
    order = np.random.default_rng(seed).permutation(len(turned))
    pairs = np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1)
    solution = solve(pairs, agreement(pairs, turned), none_fixed(len(turned)))
    [common] = np.unique((turned + solution.quarters) % 4)
    counts = np.bincount(turned, minlength=4)
    assert counts[common] == counts.max()
    assert solution.sure.all()


@given(st.integers(0, 10_000))
def test_weaker_pairs_may_be_wrong(seed):
    generator = np.random.default_rng(seed)
    turned = generator.integers(4, size=12)
    turned[:7] = turned[0]  # which turn is the commonest is beyond doubt
    pairs = all_pairs(12)
    strong = pairs[:, 1] - pairs[:, 0] <= 2
    wrong = ~strong & (generator.random(len(pairs)) < 0.3)
    inliers = agreement(pairs, turned)
    inliers[~strong] = agreement(pairs[~strong], turned, margin=PAIR_MARGIN)
    inliers[wrong] = [np.roll(row, generator.integers(1, 4)) for row in inliers[wrong]]
    solution = solve(pairs, inliers, none_fixed(12))
    np.testing.assert_array_equal((turned + solution.quarters) % 4, np.full(12, turned[0]))


@given(st.integers(1, 3), st.integers(0, 5))
def test_votes_outweigh_the_strongest_pair_where_it_is_wrong(off, second):
    turned = np.array([2, 2, 2, 2, 1, 0, 0])
    pairs = all_pairs(7)
    inliers = agreement(pairs, turned)
    strongest = np.flatnonzero((pairs == (second, 6)).all(axis=1))
    inliers[strongest] = np.roll(agreement(pairs[strongest], turned, margin=4 * SURE_MARGIN), off, axis=1)
    solution = solve(pairs, inliers, none_fixed(7))
    np.testing.assert_array_equal((turned + solution.quarters) % 4, np.full(7, 2))


def test_each_component_has_its_own_common_turn():
    turned = np.array([0, 0, 1, 2, 2, 3])
    pairs = np.array([[0, 1], [1, 2], [3, 4], [4, 5]])
    solution = solve(pairs, agreement(pairs, turned), none_fixed(6))
    np.testing.assert_array_equal(solution.quarters, [0, 0, 3, 0, 0, 3])


def test_of_equally_common_turns_the_one_of_fewest_quarters_wins():
    turned = np.array([0, 1, 2, 3, 3])
    turned[3:] = 1, 0  # two of 0, two of 1, one of 2: 1 takes 1 + 1 + 1 quarters, 0 takes 1 + 1 + 2
    pairs = all_pairs(5)
    solution = solve(pairs, agreement(pairs, turned), none_fixed(5))
    np.testing.assert_array_equal(solution.quarters, [1, 0, 3, 0, 1])


@given(st.lists(st.integers(0, 3), min_size=5, max_size=10))
def test_known_pictures_stay_and_the_others_follow(turned):
    turned = np.array(turned)
    turned[1] = turned[0]
    fixed = none_fixed(len(turned))
    fixed[:2] = True
    pairs = all_pairs(len(turned))[1:]  # without the pair of the two known ones
    inliers = agreement(pairs, turned)
    inliers[(pairs > 1).all(axis=1)] *= 2  # the others hang together first
    solution = solve(pairs, inliers, fixed)
    np.testing.assert_array_equal((turned + solution.quarters) % 4, np.full(len(turned), turned[0]))


def test_known_pictures_tie_together_what_does_not_hang_together():
    turned = np.array([1, 1, 3, 1, 0, 0, 0])
    pairs = np.array([[0, 2], [1, 3], [1, 4], [1, 5], [1, 6]])
    fixed = np.array([True, True, False, False, False, False, False])
    solution = solve(pairs, agreement(pairs, turned), fixed)
    np.testing.assert_array_equal(solution.quarters, [0, 0, 2, 0, 1, 1, 1])


def test_groups_that_a_chance_pair_ties_together_keep_their_own_common_turns():
    turned = np.array([0, 0, 0, 0, 1, 2, 2, 2, 3])
    pairs = np.concatenate([all_pairs(5), all_pairs(4) + 5])
    inliers = agreement(pairs, turned)
    chance = np.array([[0, 5]])
    pairs, inliers = np.append(pairs, chance, axis=0), np.append(inliers, [[5, 5, 5 + PAIR_MARGIN, 5]], axis=0)
    solution = solve(pairs, inliers, none_fixed(9))
    np.testing.assert_array_equal(solution.quarters, [0, 0, 0, 0, 3, 0, 0, 0, 3])


def test_many_weak_pairs_tie_groups_together():
    turned = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    pairs = all_pairs(8)
    across = (pairs[:, 0] < 5) & (pairs[:, 1] >= 5)
    inliers = agreement(pairs, turned)
    inliers[across] = agreement(pairs[across], turned, margin=PAIR_MARGIN)
    solution = solve(pairs, inliers, none_fixed(8))
    np.testing.assert_array_equal(solution.quarters, [0, 0, 0, 0, 0, 3, 3, 3])


def test_known_pictures_stay_where_pairs_contradict_them():
    pairs = all_pairs(3)
    solution = solve(pairs, agreement(pairs, np.array([0, 1, 1])), np.array([True, True, False]))
    np.testing.assert_array_equal(solution.quarters[:2], [0, 0])
    assert solution.sure[:2].all()


def test_a_picture_without_a_clear_pair_is_unsure_and_stays():
    turned = np.array([0, 0, 1, 2])
    pairs = all_pairs(4)
    inliers = agreement(pairs, turned)
    with_last = (pairs == 3).any(axis=1)
    inliers[with_last] = agreement(pairs[with_last], turned, margin=1)
    solution = solve(pairs, inliers, none_fixed(4))
    np.testing.assert_array_equal(solution.sure, [True, True, True, False])
    np.testing.assert_array_equal(solution.quarters, [0, 0, 3, 0])
    assert solution.margin[3] == 0


def test_a_picture_whose_neighbours_disagree_is_unsure():
    turned = np.array([0, 0, 0])
    pairs = all_pairs(3)
    inliers = agreement(pairs, turned)
    inliers[1] = np.roll(inliers[1], 1)  # of pictures 0 and 2: against what 1 says of both
    solution = solve(pairs, inliers, np.array([True, True, False]))
    assert not solution.sure[2]
    assert solution.quarters[2] == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_without_pairs_all_stay(count):
    solution = solve(np.zeros((0, 2), np.uint32), np.zeros((0, 4), np.int64), none_fixed(count))
    np.testing.assert_array_equal(solution.quarters, np.zeros(count))
    assert not solution.sure.any()
