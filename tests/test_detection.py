import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from d2sfm.detection import EDGE_RATIO, MAX_STEP, detect, localise

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


def sparse(features, banned=None):
    found = detect(features, banned)
    refined, stable = localise(features, found)
    return found, refined, stable


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


@given(
    values=st.lists(st.integers(-3, 3), min_size=4 * 5 * 6, max_size=4 * 5 * 6),
    banned=st.lists(st.booleans(), min_size=5 * 6, max_size=5 * 6),
)
@settings(deadline=None, max_examples=60)
def test_ties_borders_and_negative_maxima_as_in_the_dense_twin(values, banned):
    features = torch.tensor(values, dtype=torch.float32).reshape(4, 5, 6)
    assert_equal_to_twin(features)
    assert_equal_to_twin(features, torch.tensor(banned).reshape(5, 6))


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
    assert detect(features).channels.tolist() == [1]


def test_equal_neighbours_both_stay():
    features = torch.zeros(1, 7, 8)
    features[0, 3, 3:5] = 1
    features[0, 2, 3:5] = features[0, 4, 3:5] = 0.2
    assert detect(features).cells.tolist() == [[3, 3], [3, 4]]


def test_ridges_are_refused():
    features = torch.zeros(1, 9, 9)
    features[0, 4] = 1
    features[0, 4, 4] = 1.01
    # The ends of the ridge are corners against the zeros beyond the border; its top in the middle is an edge.
    assert detect(features).cells.tolist() == [[4, 0], [4, 8]]


def test_a_banned_cell_is_not_detected_but_still_shades_its_neighbours():
    features = peak(4.0, 4.0)
    banned = torch.zeros(9, 9, dtype=torch.bool)
    banned[4, 4] = True
    assert len(detect(features, banned).cells) == 0


def test_a_flat_map_gives_empty_arrays():
    found, refined, stable = sparse(torch.zeros(4, 5, 6))
    assert found.cells.shape == (0, 2)
    assert refined.shape == (0, 2)
    assert stable.shape == (0,)
