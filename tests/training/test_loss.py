import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from torch.nn import functional as F

from d2sfm.features.detection import soft_scores
from d2sfm.training.loss import MARGIN, SAFE_RADIUS, hardest_negatives, pair_loss, squared_distance


def unit(vector):
    return [value / sum(v * v for v in vector) ** 0.5 for value in vector]


def distance(a, b):
    return 2 - 2 * sum(x * y for x, y in zip(a, b, strict=True))


def nearest_far_away(anchor, features, partner):
    """Squared distance to the nearest descriptor whose cell is not around the partner, cell by cell."""
    _, height, width = features.shape
    far = [
        (i, j)
        for i in range(height)
        for j in range(width)
        if max(abs(i - partner // width), abs(j - partner % width)) > 4
    ]
    return min(distance(anchor, unit(features[:, i, j].tolist())) for i, j in far)


def loss_one_by_one(features1, features2, scores1, scores2, cells):
    """The loss in Python's own floats, one correspondence after the other."""
    numerator = denominator = 0.0
    for c1, c2 in cells.T.tolist():
        anchor1, anchor2 = unit(features1.flatten(1)[:, c1].tolist()), unit(features2.flatten(1)[:, c2].tolist())
        negative = min(nearest_far_away(anchor1, features2, c2), nearest_far_away(anchor2, features1, c1))
        weight = scores1.flatten()[c1].item() * scores2.flatten()[c2].item()
        numerator += weight * max(0.0, 1 + distance(anchor1, anchor2) - negative)
        denominator += weight
    return numerator / denominator


def random_pair(seed, shape1, shape2, channels, count, likeness=0.0, dtype=torch.float64):
    """Two feature maps, scores and random correspondences; with a likeness corresponding cells resemble each other."""
    generator = torch.Generator().manual_seed(seed)
    features1, features2 = (
        torch.randn(channels, *shape, generator=generator, dtype=torch.float64) for shape in (shape1, shape2)
    )
    scores1, scores2 = (
        torch.rand(shape, generator=generator, dtype=torch.float64) + 0.01 for shape in (shape1, shape2)
    )
    cells = torch.stack(
        [torch.randint(shape[0] * shape[1], (count,), generator=generator) for shape in (shape1, shape2)]
    )
    flat1, flat2 = features1.flatten(1), features2.flatten(1)
    flat2[:, cells[1]] = likeness * flat1[:, cells[0]] + (1 - likeness) * flat2[:, cells[1]]
    return [tensor.to(dtype) for tensor in (features1, features2, scores1, scores2)], cells


@st.composite
def map_shapes(draw):
    """Maps with a negative for each of their cells: an edge of ten cells or more, which no safe radius covers."""
    edges = draw(st.tuples(st.integers(10, 13), st.integers(1, 12)))
    return edges if draw(st.booleans()) else edges[::-1]


@given(
    seed=st.integers(0, 2**32),
    shapes=st.tuples(map_shapes(), map_shapes()),
    channels=st.integers(1, 6),
    count=st.integers(1, 12),
    likeness=st.sampled_from([0.0, 0.5, 0.9]),
)
@settings(max_examples=examples(50))
def test_random_pairs_give_the_loops_loss(seed, shapes, channels, count, likeness):
    inputs, cells = random_pair(seed, *shapes, channels, count, likeness)
    loss = pair_loss(*inputs, cells)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(loss_one_by_one(*inputs, cells), rel=1e-10, abs=1e-12)


@pytest.mark.slow
def test_in_float32_the_loss_is_close_to_the_loops():
    inputs, cells = random_pair(0, (12, 16), (12, 14), 64, 10, likeness=0.4, dtype=torch.float32)
    expected = loss_one_by_one(*inputs, cells)
    assert 0.05 < expected < 2
    assert pair_loss(*inputs, cells).item() == pytest.approx(expected, abs=1e-5)


def column_of_descriptors(vectors):
    """A feature map one cell wide: [C, H, 1]."""
    return torch.tensor(vectors, dtype=torch.float64).T[:, :, None]


def test_a_loss_by_hand():
    """p = 0, so the loss is what n lacks to the margin of 1: nothing where n = 2, and 0.4 where n = 0.6."""
    right, up, left = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)
    rows = [right] * 5 + [left, up, left, left, left]
    features = column_of_descriptors(rows)
    scores = torch.ones(10, 1, dtype=torch.float64)
    cells = torch.tensor([[0], [0]])
    # Cells 1 to 4 are like the anchor, but near. Up is at a right angle: 2 - 2 * 0 = 2.
    assert pair_loss(features, features, scores, scores, cells).item() == 0
    nearer = features.clone()
    nearer[:, 7, 0] = torch.tensor([0.7, 0.51**0.5])  # 2 - 2 * 0.7 = 0.6
    for pair in ((features, nearer), (nearer, features), (nearer, nearer)):
        assert pair_loss(*pair, scores, scores, cells).item() == pytest.approx(0.4)


@pytest.mark.parametrize(("offset", "negative"), [((4, 4), False), ((4, -4), False), ((0, 5), True), ((-5, 4), True)])
def test_the_safe_radius_is_four_cells_on_both_axes(offset, negative):
    """Only a twin of the anchor lies at the offset from the partner; all other cells are opposite."""
    features = torch.full((1, 12, 12), -1.0)
    features[0, 6, 6] = features[0, 6 + offset[0], 6 + offset[1]] = 1
    anchors = torch.ones(1, 1)
    chosen = hardest_negatives(anchors, features.flatten(1), torch.tensor([6 * 12 + 6]), 12).item()
    assert (chosen == (6 + offset[0]) * 12 + 6 + offset[1]) is negative
    assert max(abs(chosen // 12 - 6), abs(chosen % 12 - 6)) > SAFE_RADIUS


def test_correspondences_weigh_as_their_scores_do():
    (features1, features2, scores1, scores2), cells = random_pair(5, (12, 12), (12, 12), 4, 2)
    single = [pair_loss(features1, features2, scores1, scores2, cells[:, [k]]).item() for k in (0, 1)]
    weight = [scores1.flatten()[cells[0, k]].item() * scores2.flatten()[cells[1, k]].item() for k in (0, 1)]
    both = pair_loss(features1, features2, scores1, scores2, cells).item()
    assert both == pytest.approx((weight[0] * single[0] + weight[1] * single[1]) / sum(weight))
    assert min(single) < both < max(single)


def test_lengths_of_descriptors_and_sums_of_scores_do_not_matter():
    (features1, features2, scores1, scores2), cells = random_pair(6, (12, 12), (12, 12), 4, 20)
    loss = pair_loss(features1, features2, scores1, scores2, cells).item()
    assert pair_loss(features1 * 7, features2 / 3, scores1 * 1e-3, scores2 * 5, cells).item() == pytest.approx(loss)


def test_descriptors_are_not_rectified():
    """Vectors that differ in negative channels only are told apart."""
    inputs, cells = random_pair(7, (12, 12), (12, 12), 4, 20)
    rectified = [inputs[0].relu(), inputs[1].relu(), *inputs[2:]]
    assert abs(pair_loss(*inputs, cells).item() - pair_loss(*rectified, cells).item()) > 1e-2


def test_exchanging_the_pictures_leaves_the_loss():
    (features1, features2, scores1, scores2), cells = random_pair(8, (12, 10), (11, 13), 5, 30)
    there = pair_loss(features1, features2, scores1, scores2, cells).item()
    assert pair_loss(features2, features1, scores2, scores1, cells.flip(0)).item() == pytest.approx(there)


def test_without_correspondences_the_loss_is_not_a_number():
    inputs, _ = random_pair(0, (12, 12), (12, 12), 4, 1)
    assert pair_loss(*inputs, torch.empty(2, 0, dtype=torch.int64)).isnan()


def test_without_a_score_the_loss_is_not_a_number():
    (features1, features2, scores1, scores2), cells = random_pair(0, (12, 12), (12, 12), 4, 5)
    scores1.flatten()[cells[0]] = 0
    assert pair_loss(features1, features2, scores1, scores2, cells).isnan()


def plain_minimum_loss(features1, features2, scores1, scores2, cells):
    """The loss with all distances as one matrix that the gradient goes through."""

    def grid(shape):
        return torch.stack(
            [torch.arange(shape[0] * shape[1]) // shape[1], torch.arange(shape[0] * shape[1]) % shape[1]]
        )

    def minimum(anchors, everywhere, shape, partners):
        apart = (grid(shape)[:, None, :] - grid(shape)[:, partners][:, :, None]).abs().amax(dim=0)
        distances = 2 - 2 * torch.einsum("ck,cn->kn", anchors, everywhere)
        return torch.where(apart > 4, distances, torch.inf).amin(dim=1)

    all1, all2 = (f.flatten(1) / f.flatten(1).norm(dim=0) for f in (features1, features2))
    anchors1, anchors2 = all1[:, cells[0]], all2[:, cells[1]]
    positive = 2 - 2 * (anchors1 * anchors2).sum(dim=0)
    negative = torch.minimum(
        minimum(anchors1, all2, features2.shape[1:], cells[1]), minimum(anchors2, all1, features1.shape[1:], cells[0])
    )
    weights = scores1.flatten()[cells[0]] * scores2.flatten()[cells[1]]
    return (weights * (1 + positive - negative).clamp(min=0)).sum() / weights.sum()


@pytest.mark.parametrize("likeness", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_plain_minimum(seed, likeness):
    inputs, cells = random_pair(seed, (12, 14), (13, 11), 6, 40, likeness)
    ours, plain = ([tensor.clone().requires_grad_() for tensor in inputs] for _ in range(2))
    torch.testing.assert_close(pair_loss(*ours, cells), plain_minimum_loss(*plain, cells), rtol=1e-12, atol=0)
    gradients = torch.autograd.grad(pair_loss(*ours, cells), ours)
    expected = torch.autograd.grad(plain_minimum_loss(*plain, cells), plain)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert wanted.abs().max() > 1e-5
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_gradient_through_scores_and_loss_is_that_of_finite_differences(seed):
    inputs, cells = random_pair(seed, (10, 2), (3, 10), 3, 8, likeness=0.6)

    def loss(features1, features2):
        scores1, scores2 = (soft_scores(features[None])[0] for features in (features1, features2))
        return pair_loss(features1, features2, scores1, scores2, cells)

    features = [tensor.requires_grad_() for tensor in inputs[:2]]
    assert torch.autograd.grad(loss(*features), features)[0].abs().max() > 1e-4
    assert torch.autograd.gradcheck(loss, features, eps=1e-6, atol=1e-7, rtol=1e-5)


def test_tied_negatives_count_once_and_give_a_finite_gradient():
    """Every cell has the same descriptor: p = n = 0, whichever negative is taken."""
    features = torch.ones(3, 12, 12, dtype=torch.float64, requires_grad=True)
    scores = torch.rand(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cells = torch.tensor([[0, 77, 143], [5, 77, 100]])
    loss = pair_loss(features, features.detach(), scores, scores, cells)
    assert loss.item() == pytest.approx(MARGIN)
    assert torch.autograd.grad(loss, features)[0].isfinite().all()


@given(values=st.lists(st.integers(1, 2), min_size=2 * 11, max_size=2 * 11), cell=st.integers(0, 10))
@settings(max_examples=examples(30))
def test_any_of_several_hardest_negatives_gives_the_loops_loss(values, cell):
    features = torch.tensor(values, dtype=torch.float64).reshape(2, 11, 1)
    scores, cells = torch.ones(11, 1, dtype=torch.float64), torch.tensor([[cell], [10 - cell]])
    expected = loss_one_by_one(features, features.flip(1), scores, scores, cells)
    assert pair_loss(features, features.flip(1), scores, scores, cells).item() == pytest.approx(expected, abs=1e-12)


def test_a_cell_may_correspond_more_than_once():
    inputs, cells = random_pair(9, (12, 12), (12, 12), 4, 3)
    cells = torch.stack([cells[0], cells[1, :1].expand(3)])
    assert pair_loss(*inputs, cells).item() == pytest.approx(loss_one_by_one(*inputs, cells))


def test_hardest_negatives_leave_their_arguments_alone():
    generator = torch.Generator().manual_seed(2)
    anchors, descriptors = torch.randn(4, 5, generator=generator), torch.randn(4, 144, generator=generator)
    anchors.requires_grad_()
    before = [anchors.clone(), descriptors.clone()]
    chosen = hardest_negatives(anchors, descriptors, torch.arange(5), 12)
    assert chosen.shape == (5,)
    assert chosen.dtype == torch.int64
    assert torch.equal(anchors, before[0])
    assert torch.equal(descriptors, before[1])


def test_squared_distance_is_that_of_unit_vectors():
    generator = torch.Generator().manual_seed(3)
    a, b = (F.normalize(torch.randn(5, 7, generator=generator, dtype=torch.float64), dim=0) for _ in range(2))
    torch.testing.assert_close(squared_distance(a, b), ((a - b) ** 2).sum(dim=0))
