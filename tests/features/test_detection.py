from math import exp

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from torch.nn import functional as F

from d2sfm.features.detection import EDGE_RATIO, MAX_STEP, detect, localise, soft_scores

ROW_ROW = [[0, 1, 0], [0, -2, 0], [0, 1, 0]]
COLUMN_COLUMN = [[0, 0, 0], [1, -2, 1], [0, 0, 0]]
MIXED = [[0.25, 0, -0.25], [0, 0, 0], [-0.25, 0, 0.25]]
ROW = [[0, -0.5, 0], [0, 0, 0], [0, 0.5, 0]]
COLUMN = [[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]]


def dense_derivative(features, kernel):
    weight = torch.tensor(kernel, dtype=features.dtype)[None, None]
    return F.conv2d(features[:, None], weight, padding=1)[:, 0]


def dense_twin(features, banned=None):
    """Keypoints by maps over all channels, as the paper writes them: (channel, row, column, refined row and column)."""
    channels = features.shape[0]
    highest = F.one_hot(features.argmax(dim=0), channels).permute(2, 0, 1).bool()
    local_maximum = features == F.max_pool2d(features[None], 3, stride=1, padding=1)[0]
    rr, cc, rc = (dense_derivative(features, kernel) for kernel in (ROW_ROW, COLUMN_COLUMN, MIXED))
    det, trace = rr * cc - rc**2, rr + cc
    not_edge = (det > 0) & (trace**2 / det <= (EDGE_RATIO + 1) ** 2 / EDGE_RATIO)
    keypoints = highest & local_maximum & not_edge
    if banned is not None:
        keypoints &= ~banned
    r, c = dense_derivative(features, ROW), dense_derivative(features, COLUMN)
    found = []
    for channel, row, column in keypoints.nonzero().tolist():
        hessian = torch.tensor([[rr[channel, row, column], rc[channel, row, column]], [0, cc[channel, row, column]]])
        hessian[1, 0] = hessian[0, 1]
        gradient = torch.stack([r[channel, row, column], c[channel, row, column]])
        step = -torch.linalg.solve(hessian, gradient)
        found.append((channel, row, column, row + step[0].item(), column + step[1].item()))
    return sorted(found, key=lambda keypoint: keypoint[1:3])


def detect_all(features, banned=None):
    """Detections of a whole map."""
    return detect(features, torch.ones(features.shape[1:], dtype=torch.bool) if banned is None else ~banned)


def sparse(features, banned=None):
    found = detect_all(features, banned)
    steps, stable = localise(features, found)
    return found, found.cells + steps, stable


def assert_equal_to_twin(features, banned=None):
    found, refined, stable = sparse(features, banned)
    expected = dense_twin(features, banned)
    cells = torch.column_stack([found.channels, found.cells]).tolist()
    assert cells == [list(keypoint[:3]) for keypoint in expected]
    if expected:
        # A nearly singular Hessian magnifies rounding: compare the steps that matter.
        wanted = torch.tensor([keypoint[3:] for keypoint in expected])
        step = wanted - found.cells
        near = (step.abs() < 2 * MAX_STEP).all(dim=1)
        torch.testing.assert_close(refined[near], wanted[near].to(refined.dtype), atol=1e-3, rtol=0)
        clear = near & ((step.abs() - MAX_STEP).abs() > 1e-3).all(dim=1)
        assert stable[clear].tolist() == (step.abs() < MAX_STEP).all(dim=1)[clear].tolist()
    return len(expected)


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(8, 20, 23), (64, 17, 9), (512, 12, 12), (3, 1, 7), (5, 2, 2)]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_random_maps_give_the_dense_twins_keypoints(channels, height, width, memory_format):
    generator = torch.Generator().manual_seed(channels)
    features = torch.rand(1, channels, height, width, generator=generator).to(memory_format=memory_format)[0]
    count = assert_equal_to_twin(features)
    assert count > 0 or min(height, width) < 9


def test_smooth_maps_have_keypoints_with_small_steps():
    features = F.avg_pool2d(torch.rand(1, 16, 40, 40, generator=torch.Generator().manual_seed(1)), 5, stride=1)[0]
    assert assert_equal_to_twin(features) > 5
    assert sparse(features)[2].any()


@pytest.mark.slow
@given(lowest=st.integers(-3, 0), highest=st.integers(-3, 3), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=examples(60))
def test_ties_borders_and_negative_maxima_as_in_the_dense_twin(lowest, highest, seed):
    generator = np.random.default_rng(seed)
    values = generator.integers(lowest, max(lowest, highest) + 1, (4, 5, 6))
    features = torch.from_numpy(values).float()
    assert_equal_to_twin(features)
    assert_equal_to_twin(features, torch.from_numpy(generator.random((5, 6)) < 0.5))


def peak(row, column, size=9, channels=2, channel=1):
    """A paraboloid with its top at (row, column) in one channel, 0 elsewhere."""
    grid = torch.arange(size, dtype=torch.float32)
    features = torch.zeros(channels, size, size)
    features[channel] = 40 - (grid[:, None] - row) ** 2 - (grid - column) ** 2
    return features.relu()


def test_the_top_of_a_paraboloid_is_found_exactly():
    found, refined, stable = sparse(peak(4.3, 3.75))
    assert found.cells.tolist() == [[4, 4]]
    assert found.channels.tolist() == [1]
    torch.testing.assert_close(refined, torch.tensor([[4.3, 3.75]]))
    assert stable.tolist() == [True]


def test_lowest_tied_channel_counts_once():
    features = peak(4.0, 4.0, channels=3)
    features[2] = features[1]
    assert detect_all(features).channels.tolist() == [1]


def test_equal_neighbours_both_stay():
    features = torch.zeros(1, 7, 8)
    features[0, 3, 3:5] = 1
    features[0, 2, 3:5] = features[0, 4, 3:5] = 0.2
    assert detect_all(features).cells.tolist() == [[3, 3], [3, 4]]


def test_ridges_are_refused():
    features = torch.zeros(1, 9, 9)
    features[0, 4] = 1
    features[0, 4, 4] = 1.01
    # The ends of the ridge are corners against the zeros beyond the border; its top in the middle is an edge.
    assert detect_all(features).cells.tolist() == [[4, 0], [4, 8]]


def test_a_banned_cell_is_not_detected_but_still_shades_its_neighbours():
    features = peak(4.0, 4.0)
    banned = torch.zeros(9, 9, dtype=torch.bool)
    banned[4, 4] = True
    assert len(detect_all(features, banned).cells) == 0


def test_a_part_of_the_rows_gives_their_detections():
    """With a row above and one below, the rows of a part have what they have in the whole map."""
    features = torch.rand(16, 30, 20, generator=torch.Generator().manual_seed(2))
    of_map = detect_all(features)
    candidates = torch.zeros(12, 20, dtype=torch.bool)
    candidates[1:-1] = True
    of_part = detect(features[:, 9:21], candidates)
    expected = of_map.cells[(of_map.cells[:, 0] >= 10) & (of_map.cells[:, 0] < 20)]
    assert len(expected) > 3
    assert (of_part.cells + torch.tensor([9, 0])).tolist() == expected.tolist()


def test_a_flat_map_gives_empty_arrays():
    found, refined, stable = sparse(torch.zeros(4, 5, 6))
    assert found.cells.shape == (0, 2)
    assert refined.shape == (0, 2)
    assert stable.shape == (0,)


def soft_scores_one_by_one(features):
    """Equations 3 to 6 cell by cell in Python's own floats, for one picture [C, H, W]."""
    channels, height, width = features.shape
    response = features.relu().tolist()
    largest = max(max(max(row) for row in channel) for channel in response)

    def raised(k, i, j):
        return exp(response[k][i][j] / largest) if 0 <= i < height and 0 <= j < width else 1.0

    def score(i, j):
        strongest = max(response[k][i][j] for k in range(channels))
        if strongest == 0:
            return 0.0
        best = 0.0
        for k in range(channels):
            around = sum(raised(k, i + down, j + right) for down in (-1, 0, 1) for right in (-1, 0, 1))
            best = max(best, raised(k, i, j) / around * response[k][i][j] / strongest)
        return best

    scores = torch.tensor([[score(i, j) for j in range(width)] for i in range(height)], dtype=torch.float64)
    return scores / scores.sum()


def random_features(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
@settings(max_examples=examples(60))
def test_soft_scores_are_the_loops(seed, shape, scale):
    features = random_features(*shape, seed=seed) * scale
    features[:, :, 0, 0] += 4 * scale  # no picture without a response
    expected = torch.stack([soft_scores_one_by_one(picture) for picture in features])
    torch.testing.assert_close(soft_scores(features), expected, rtol=1e-10, atol=1e-14)


@given(values=st.lists(st.integers(-1, 2), min_size=2 * 3 * 4, max_size=2 * 3 * 4))
@settings(max_examples=examples(60))
def test_soft_scores_of_ties_and_dead_cells(values):
    features = torch.tensor([3, *values[1:]], dtype=torch.float64).reshape(2, 3, 4)
    torch.testing.assert_close(soft_scores(features[None])[0], soft_scores_one_by_one(features))


def test_soft_scores_are_shares_of_a_picture():
    scores = soft_scores(random_features(3, 16, 9, 11).float())
    assert scores.shape == (3, 9, 11)
    assert scores.dtype == torch.float32
    assert scores.min() >= 0
    torch.testing.assert_close(scores.sum(dim=(1, 2)), torch.ones(3))


def test_soft_scores_of_a_picture_do_not_depend_on_its_batch():
    features = random_features(3, 8, 6, 5) * torch.tensor([1.0, 100, 0.01], dtype=torch.float64)[:, None, None, None]
    alone = torch.cat([soft_scores(picture[None]) for picture in features])
    torch.testing.assert_close(soft_scores(features), alone)


def test_strong_responses_do_not_overflow():
    scores = soft_scores(random_features(1, 8, 6, 5).float() * 1e30)
    torch.testing.assert_close(scores.double(), soft_scores(random_features(1, 8, 6, 5)), rtol=1e-4, atol=1e-7)


def test_soft_scores_by_hand():
    """Responses far from each other: each is all of its cell, and e / (e + 8) of its neighbourhood if the largest."""
    features = torch.zeros(2, 5, 6)
    features[1, 2, 3] = 7
    assert soft_scores(features[None])[0].nonzero().tolist() == [[2, 3]]
    # A second one, half as strong and in a corner: exp(1/2) over itself and 8 neighbours, those outside being 1.
    features[0, 0, 0] = 3.5
    first, second = exp(1) / (exp(1) + 8), exp(0.5) / (exp(0.5) + 8)
    scores = soft_scores(features[None])[0]
    assert scores[2, 3].item() == pytest.approx(first / (first + second), rel=1e-6)
    assert scores[0, 0].item() == pytest.approx(second / (first + second), rel=1e-6)


def test_soft_scores_leave_the_features_alone():
    features = random_features(1, 4, 5, 6)
    before = features.clone()
    soft_scores(features)
    assert torch.equal(features, before)


def test_cells_without_a_response_score_0_and_pass_no_gradient():
    features = random_features(2, 6, 7, 8)
    features[:, :, 2:4, 3:6] = -features[:, :, 2:4, 3:6].abs()
    features[0, :, 6, 7] = 0
    features.requires_grad_()
    scores = soft_scores(features)
    assert not scores[:, 2:4, 3:6].any()
    assert scores[0, 6, 7] == 0
    gradient = torch.autograd.grad((scores * random_features(2, 7, 8, seed=1)).sum(), features)[0]
    assert gradient.isfinite().all()
    assert not gradient[:, :, 2:4, 3:6].any()
    assert gradient.abs().amax() > 1e-4


@pytest.mark.parametrize("dead", [0.0, -1.0])
def test_a_picture_without_any_response_has_no_scores(dead):
    features = random_features(2, 4, 5, 6)
    alive = soft_scores(features[1:])[0]
    features[0] = dead
    scores = soft_scores(features)
    assert scores[0].isnan().all()
    torch.testing.assert_close(scores[1], alive)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_soft_scores_is_that_of_finite_differences(seed):
    features = random_features(2, 3, 4, 4, seed=seed)
    features[:, :, 1, 2] = -features[:, :, 1, 2].abs()  # a cell without a response
    assert torch.autograd.gradcheck(soft_scores, features.requires_grad_(), eps=1e-6, atol=1e-7, rtol=1e-5)
