import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from torch.nn import functional as F

from d2sfm.network.sampling import inside, resample, sample


def plain_sample(features, row, column):
    """Four corners and their areas, one position at a time."""
    height, width = features.shape[1:]
    total = torch.zeros(features.shape[0], dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            total += max(0, 1 - abs(row - i)) * max(0, 1 - abs(column - j)) * features[:, i, j].double()
    return total


@given(st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=examples(60))
def test_sample_equals_the_plain_version(height, width, row_share, column_share):
    features = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height * 7 + width))
    cells = torch.tensor([[row_share * (height - 1), column_share * (width - 1)]])
    expected = plain_sample(features, *cells[0].tolist())
    torch.testing.assert_close(sample(features, cells)[0].double(), expected, atol=1e-5, rtol=0)


def test_sample_at_whole_cells_is_exact_to_the_last_cell():
    features = torch.rand(5, 4, 3)
    cells = torch.tensor([[0.0, 0.0], [3.0, 2.0], [1.0, 2.0]])
    assert torch.equal(sample(features, cells), torch.stack([features[:, 0, 0], features[:, 3, 2], features[:, 1, 2]]))


def test_sample_of_nothing():
    assert sample(torch.rand(5, 4, 3), torch.empty(0, 2)).shape == (0, 5)


def test_inside_wants_all_four_corners():
    cells = torch.tensor([[0.0, 0.0], [-0.01, 1.0], [3.0, 2.0], [3.01, 2.0], [1.0, 2.2]])
    assert inside(cells, 4, 3).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(("size", "target"), [((5, 7), (10, 13)), ((4, 4), (4, 4)), ((1, 3), (2, 5))])
def test_resample_corner_to_corner_is_torchs_align_corners(size, target):
    features = torch.rand(1, 6, *size)
    rows, columns = (
        torch.arange(new, dtype=torch.float64) * ((old - 1) / (new - 1)) for old, new in zip(size, target, strict=True)
    )
    expected = F.interpolate(features, size=target, mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(resample(features[0], rows, columns), expected, atol=1e-5, rtol=0)


def test_resample_beyond_the_border_repeats_it():
    features = torch.rand(2, 3, 3)
    assert torch.equal(
        resample(features, torch.tensor([-2.0, 9.0]), torch.tensor([1.0]))[:, :, 0], features[:, [0, 2], 1]
    )
