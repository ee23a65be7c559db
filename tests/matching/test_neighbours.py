import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.matching import neighbours
from d2sfm.matching.neighbours import mutual_nearest_neighbours, neighbours_and_similarities
from d2sfm.options import MatchingOptions

CPU = MatchingOptions(device="cpu")


def brute_force(a, b, *, ratio=None, max_distance=None, min_similarity=None):
    """Descriptor by descriptor in float64; ties go to the lowest index."""
    similarity = np.array([[np.dot(x, y) for y in b] for x in a.astype(np.float64)]).reshape(len(a), len(b))
    distance = np.sqrt(np.maximum(2 - 2 * similarity, 0))

    def distinct(distances):
        return ratio is None or len(distances) < 2 or np.sort(distances)[0] < ratio * np.sort(distances)[1]

    matches = []
    for i in range(len(a) if len(b) else 0):
        j = int(np.argmax(similarity[i]))
        if int(np.argmax(similarity[:, j])) != i:
            continue
        if max_distance is not None and distance[i, j] > max_distance:
            continue
        if min_similarity is not None and similarity[i, j] < min_similarity:
            continue
        if distinct(distance[i]) and distinct(distance[:, j]):
            matches.append((i, j))
    return np.array(matches, np.uint32).reshape(-1, 2)


def unit_vectors(generator, count, size=32):
    vectors = generator.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def noisy_pair(count_a, count_b, seed, noise=0.1):
    """Two sets of which a half each shows the same things, in different order."""
    generator = np.random.default_rng(seed)
    a, b = unit_vectors(generator, count_a), unit_vectors(generator, count_b)
    common = min(count_a, count_b) // 2
    seen = a[generator.permutation(count_a)[:common]] + noise * unit_vectors(generator, common)
    b[generator.permutation(count_b)[:common]] = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    return a, b


def check(result, expected):
    assert result.dtype == np.uint32
    np.testing.assert_array_equal(result, expected)
    assert result.shape == expected.shape


@pytest.mark.parametrize("count_a", [0, 1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize("count_b", [0, 1, 2, 15, 64])
def test_equals_brute_force_at_block_borders(count_a, count_b):
    a, b = noisy_pair(count_a, count_b, seed=count_a * 100 + count_b)
    check(mutual_nearest_neighbours(a, b, CPU, block_rows=8), brute_force(a, b))


def test_the_default_block_border():
    a, b = noisy_pair(2100, 40, seed=1)
    result = mutual_nearest_neighbours(a, b, CPU)
    assert (result[:, 0] >= 2048).any()
    check(result, brute_force(a, b))


@pytest.mark.parametrize(
    "limits",
    [
        {"ratio": 0.8},
        {"ratio": 0.3},
        {"max_distance": 0.1},
        {"min_similarity": 0.996},
        {"ratio": 0.9, "max_distance": 0.1},
    ],
)
@pytest.mark.parametrize("count_b", [0, 1, 2, 50])
def test_limits_equal_brute_force(limits, count_b):
    a, b = noisy_pair(61, count_b, seed=5, noise=0.12)
    options = MatchingOptions(device="cpu", **limits)
    check(mutual_nearest_neighbours(a, b, options, block_rows=16), brute_force(a, b, **limits))


def test_limits_remove_some_and_keep_some():
    a, b = noisy_pair(61, 50, seed=5, noise=0.12)
    everything = len(mutual_nearest_neighbours(a, b, CPU))
    for limits in ({"ratio": 0.8}, {"max_distance": 0.12}, {"min_similarity": 0.99}):
        kept = len(mutual_nearest_neighbours(a, b, MatchingOptions(device="cpu", **limits)))
        assert 0 < kept < everything


# Four entries of +-1/2 make unit vectors whose products are multiples of 1/4: exact in any precision, and full of ties.
@st.composite
def exact_unit_vectors(draw):
    count, size = draw(st.integers(0, 9)), 5
    rows = np.zeros((count, size), np.float32)
    for row in rows:
        signs = draw(st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4))
        row[np.arange(size) != draw(st.integers(0, size - 1))] = signs
    return rows


@pytest.mark.slow
@given(
    exact_unit_vectors(),
    exact_unit_vectors(),
    st.integers(1, 10),
    st.sampled_from([None, 0.5, 0.9, 1.0]),
    st.sampled_from([None, 0.0, 0.5, 0.75]),
)
@settings(max_examples=examples(100))
def test_ties_equal_brute_force(a, b, block_rows, ratio, min_similarity):
    options = MatchingOptions(device="cpu", ratio=ratio, min_similarity=min_similarity)
    expected = brute_force(a, b, ratio=ratio, min_similarity=min_similarity)
    check(mutual_nearest_neighbours(a, b, options, block_rows=block_rows), expected)


# Around the borders of groups of 64 rows, and blocks that do or don't divide them.
sizes = st.one_of(st.integers(0, 5), st.integers(60, 70), st.integers(125, 131))


@pytest.mark.slow
@given(sizes, sizes, st.integers(1, 140), st.integers(1, 4), st.sampled_from([None, 0.8, 1.0]), st.integers(0, 99))
@settings(max_examples=examples(60))
def test_duplicates_and_ties_in_larger_sets(count_a, count_b, block_rows, size, ratio, seed):
    """Entries of 0 and +-1/2 make a few different descriptors, each many times: products are exact."""
    generator = np.random.default_rng(seed)
    a, b = (generator.integers(-1, 2, (count, size)).astype(np.float32) / 2 for count in (count_a, count_b))
    options = MatchingOptions(device="cpu", ratio=ratio)
    check(mutual_nearest_neighbours(a, b, options, block_rows=block_rows), brute_force(a, b, ratio=ratio))


@pytest.mark.parametrize(("count_a", "count_b"), [(1, 200), (200, 1), (130, 70), (64, 64)])
def test_sets_of_one_descriptor_many_times_have_one_pair(count_a, count_b):
    a, b = np.ones((count_a, 4), np.float32) / 2, np.ones((count_b, 4), np.float32) / 2
    check(mutual_nearest_neighbours(a, b, CPU, block_rows=50), np.zeros((1, 2), np.uint32))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_real_numbers_give_the_pairs_of_float64_to_the_rounding_of_float32(dtype):
    generator, rounding = np.random.default_rng(4), 1e-6
    a = generator.normal(size=512) + 0.01 * generator.normal(size=(350, 512))  # much alike: many are nearly tied
    b = np.concatenate([a, a[:100]]) + 0.01 * generator.normal(size=(450, 512))
    a, b = ((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype) for x in (a, b))
    similarity = a.astype(np.float64) @ b.T.astype(np.float64)
    found = mutual_nearest_neighbours(a, b, CPU)
    of_pairs = similarity[found[:, 0], found[:, 1]]
    assert (of_pairs >= similarity.max(1)[found[:, 0]] - rounding).all()
    assert (of_pairs >= similarity.max(0)[found[:, 1]] - rounding).all()
    clear_a, clear_b = (np.diff(np.sort(s, axis=1)[:, -2:]).ravel() > 2 * rounding for s in (similarity, similarity.T))
    clear = {(i, j) for i, j in brute_force(a, b).tolist() if clear_a[i] and clear_b[j]}
    assert 50 < len(clear) < len(found)
    assert clear <= set(map(tuple, found.tolist()))


def test_torch_without_onednn_gives_the_same_pairs(monkeypatch):
    a, b = noisy_pair(300, 200, seed=8)
    expected = mutual_nearest_neighbours(a, b, CPU)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch, "mkldnn_convolution", None)
    check(mutual_nearest_neighbours(a, b, CPU), expected)


def test_views_and_gradients_of_the_caller_do_no_harm():
    a, b = noisy_pair(60, 50, seed=6)
    wide = torch.zeros(50, 64)
    wide[:, ::2] = torch.from_numpy(b)
    with_gradient = torch.from_numpy(a).requires_grad_()
    check(mutual_nearest_neighbours(with_gradient, wide[:, ::2], CPU), brute_force(a, b))
    check(mutual_nearest_neighbours(np.asfortranarray(a), b, CPU), brute_force(a, b))


def test_descriptors_that_are_no_numbers_match_nothing():
    a, b = noisy_pair(20, 10, seed=7)
    assert mutual_nearest_neighbours(np.full_like(a, np.nan), b, CPU).shape == (0, 2)
    assert mutual_nearest_neighbours(a, np.full_like(b, np.nan), CPU).shape == (0, 2)


@pytest.mark.parametrize("block_rows", [0, -1])
def test_blocks_have_a_row_or_more(block_rows):
    a, b = noisy_pair(3, 3, seed=0)
    with pytest.raises(ValueError, match=f"block_rows must be 1 or more, found {block_rows}"):
        mutual_nearest_neighbours(a, b, CPU, block_rows=block_rows)


@pytest.mark.parametrize("exact", [True, False])
def test_tf32_is_used_just_where_it_is_exact_and_is_then_as_it_was(exact):
    matmul = torch.backends.cuda.matmul
    setting, on = ("fp32_precision", "tf32") if hasattr(matmul, "fp32_precision") else ("allow_tf32", True)
    before = getattr(matmul, setting)
    with neighbours.product_precision(torch.device("cuda"), exact_in_tf32=exact):
        assert (getattr(matmul, setting) == on) is exact
    assert getattr(matmul, setting) == before


@pytest.mark.parametrize("block_rows", [1, 2, 3, 100])
def test_the_lowest_index_wins_on_both_sides(block_rows):
    x, y = np.eye(2, dtype=np.float32)
    a, b = np.stack([y, x, x, x]), np.stack([x, x, y, y])
    check(mutual_nearest_neighbours(a, b, CPU, block_rows=block_rows), np.array([[0, 2], [1, 0]], np.uint32))
    distinct = MatchingOptions(device="cpu", ratio=1.0)
    assert mutual_nearest_neighbours(a, b, distinct, block_rows=block_rows).shape == (0, 2)


def test_one_descriptor_has_no_second_neighbour():
    a, b = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[1:2]
    strict = MatchingOptions(device="cpu", ratio=0.01)
    check(mutual_nearest_neighbours(a, b, strict), np.array([[0, 0]], np.uint32))


def test_limits_are_themselves_allowed():
    a = np.eye(2, dtype=np.float32)[:1]
    b = np.array([[0.5, np.sqrt(0.75)]], np.float32)  # similarity 1/2, distance 1
    for limits in ({"min_similarity": 0.5}, {"max_distance": 1.0}):
        assert len(mutual_nearest_neighbours(a, b, MatchingOptions(device="cpu", **limits))) == 1


def test_ratio_and_distance_stay_off_unless_asked_for():
    a, b = np.eye(4, dtype=np.float32)[:2], -np.eye(4, dtype=np.float32)[:2]
    assert len(mutual_nearest_neighbours(a[:1], b[:1], CPU)) == 1  # similarity -1, the farthest there is


def test_half_precision_is_compared_in_float32():
    a, b = noisy_pair(40, 30, seed=9)
    half_a, half_b = a.astype(np.float16), b.astype(np.float16)
    expected = brute_force(half_a.astype(np.float64), half_b.astype(np.float64))
    check(mutual_nearest_neighbours(half_a, half_b, CPU), expected)
    check(mutual_nearest_neighbours(torch.from_numpy(half_a), torch.from_numpy(half_b), CPU), expected)


@pytest.mark.parametrize("options", [CPU, MatchingOptions(device="cpu", ratio=0.9, min_similarity=0.2)])
def test_similarities_are_those_of_the_neighbours(options):
    a, b = noisy_pair(70, 50, seed=4)
    expected = mutual_nearest_neighbours(a, b, options)
    matches, similarities = neighbours_and_similarities(a, b, options, block_rows=16)
    check(matches, expected)
    assert similarities.dtype == np.float16
    assert len(similarities) > 10
    np.testing.assert_allclose(similarities, np.einsum("md,md->m", a[matches[:, 0]], b[matches[:, 1]]), atol=2**-11)
    assert [len(found) for found in neighbours_and_similarities(a, b[:0], options)] == [0, 0]


def test_swapping_the_images_swaps_the_columns():
    a, b = noisy_pair(50, 70, seed=3)
    there, back = mutual_nearest_neighbours(a, b, CPU), mutual_nearest_neighbours(b, a, CPU)
    assert sorted(map(tuple, there)) == sorted((j, i) for i, j in back)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((0, 4), (3, 5)), ((3,), (3,)), ((3, 4), (4,)), ((3, 0), (2, 0))])
def test_shapes_that_do_not_fit(shapes):
    a, b = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ValueError, match=r"expected \(N, D\) and \(M, D\)"):
        mutual_nearest_neighbours(a, b, CPU)


@pytest.mark.parametrize(
    "limits",
    [{"ratio": 0.0}, {"ratio": 1.1}, {"ratio": float("nan")}, {"max_distance": -0.1}, {"max_distance": 2.1},
     {"max_distance": float("nan")}, {"min_similarity": -1.1}, {"min_similarity": 1.1}],
)  # fmt: skip
def test_limits_out_of_range(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        MatchingOptions(**limits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("ratio", [None, 0.9])
def test_cuda_equals_brute_force(ratio):
    a, b = noisy_pair(300, 200, seed=2)
    options = MatchingOptions(device="cuda", ratio=ratio)
    check(mutual_nearest_neighbours(a, b, options, block_rows=64), brute_force(a, b, ratio=ratio))
    ties = np.tile(np.eye(4, dtype=np.float32), (500, 1))
    check(
        mutual_nearest_neighbours(ties, ties, MatchingOptions(device="cuda")),
        np.array([[i, i] for i in range(4)], np.uint32),
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_cuda_multiplies_float16_exactly():
    a, b = (x.astype(np.float16) for x in noisy_pair(5000, 300, seed=2))
    check(mutual_nearest_neighbours(a, b, MatchingOptions(device="cuda")), brute_force(a, b))
