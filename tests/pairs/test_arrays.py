import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.database.pair_ids import pair_ids
from d2sfm.pairs.arrays import BLOCK_BYTES, among, exhaustive, in_tiles, nearest, union, unique_pairs


def tuples(pairs):
    assert pairs.dtype == np.uint32
    assert pairs.ndim == 2
    return list(map(tuple, pairs.tolist()))


@given(st.lists(st.integers(1, 50)))
def test_exhaustive_is_every_ordered_pair_once(image_ids):
    expected = [(i, j) for i in range(51) for j in range(51) if i < j and i in image_ids and j in image_ids]
    assert tuples(exhaustive(image_ids)) == expected


@given(st.sets(st.tuples(st.integers(1, 30), st.integers(31, 60))), st.integers(1, 5))
def test_tiles_hold_the_same_pairs(pairs, tile):
    listed = np.array(sorted(pairs), np.uint32).reshape(-1, 2)
    assert sorted(tuples(in_tiles(listed, tile))) == sorted(pairs)


def loads(pairs, held):
    """How often an image is loaded where the ``held`` images that were used last are at hand."""
    recent, count = [], 0
    for image_id in (image_id for pair in pairs for image_id in pair):
        count += image_id not in recent
        recent = [other for other in recent if other != image_id][1 - held :]
        recent.append(image_id)
    return count


def test_tiles_load_images_less_often():
    pairs = exhaustive(range(100, 220, 2))
    assert loads(tuples(in_tiles(pairs, 10)), 20) < loads(tuples(pairs), 20) / 3


def test_an_image_is_loaded_once_for_each_tile():
    pairs = exhaustive(range(60))
    expected = sum(60 - start for start in range(0, 60, 10))  # the ten of a tile and all that come after them
    assert loads(tuples(in_tiles(pairs, 10)), 12) <= expected


@given(
    st.sets(st.tuples(st.integers(1, 5), st.integers(6, 9))), st.sets(st.tuples(st.integers(1, 5), st.integers(6, 9)))
)
def test_pairs_among_others(pairs, others):
    listed = np.array(sorted(pairs), np.uint32).reshape(-1, 2)
    numbers = pair_ids(*np.array(sorted(others), np.int64).reshape(-1, 2).T)
    np.testing.assert_array_equal(among(listed, numbers), [pair in others for pair in sorted(pairs)])


def test_pairs_of_the_largest_ids():
    largest = 2**31 - 2  # COLMAP's
    pairs = exhaustive([largest, 1, largest - 1])
    assert tuples(pairs) == [(1, largest - 1), (1, largest), (largest - 1, largest)]
    assert among(pairs, pair_ids([1], [largest])).tolist() == [False, True, False]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda pair: pair[0] != pair[1])))
def test_unique_pairs_and_unions(pairs):
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    expected = sorted({(min(pair), max(pair)) for pair in pairs})
    assert tuples(unique_pairs(first, second)) == expected
    parts = [unique_pairs(first[k::3], second[k::3]) for k in range(3)]
    assert tuples(union(*parts)) == expected


def nearest_plainly(scores, number):
    """Sorted by score and then by index, one thing after the other."""
    found = []
    for thing, row in enumerate(scores):
        others = [other for other in range(len(row)) if other != thing and row[other] > -np.inf]
        others = sorted(others, key=lambda other: (-row[other], other))[:number]
        found += [(thing, other) for other in sorted(others)]
    return found


@given(st.integers(0, 9), st.integers(0, 10), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=examples(300))
def test_the_nearest_with_ties_and_forbidden_ones(count, number, block_rows, seed):
    scores = np.random.default_rng(seed).choice([-np.inf, 0.0, 0.5, 1.0], (count, count))
    things, neighbours = nearest(lambda begin, end: scores[begin:end].copy(), count, number, block_rows)
    assert list(zip(things.tolist(), neighbours.tolist(), strict=True)) == nearest_plainly(scores, number)


def test_scores_are_asked_for_in_blocks_that_stay_small():
    count, asked = 3000, []

    def score(begin, end):
        asked.append((begin, end))
        return np.zeros((end - begin, count), np.float32)

    nearest(score, count, 1)
    assert [begin for begin, _ in asked[1:]] == [end for _, end in asked[:-1]]
    assert max(end - begin for begin, end in asked) * count * 8 <= BLOCK_BYTES < count * count * 8
