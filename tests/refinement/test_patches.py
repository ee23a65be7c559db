"""Patches against a plain twin: Catmull-Rom interpolation, one sample after the other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.refinement.patches import sample_patches

HEIGHT, WIDTH, CHANNELS = 9, 12, 4


def random_cells(seed=0, dtype=torch.float32):
    return torch.randn(HEIGHT, WIDTH, CHANNELS, generator=torch.Generator().manual_seed(seed)).to(dtype)


def kernel(distance):
    """Cubic convolution with a = -1/2 (Keys 1981), which is Catmull and Rom's spline."""
    x = abs(distance)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def plain_patches(cells, centres, bases, side):
    patches = np.zeros((len(centres), side * side, cells.shape[2]))
    for n, (centre, basis) in enumerate(zip(centres, bases, strict=True)):
        for k in range(side * side):
            row, column = divmod(k, side)
            x, y = centre + basis @ (np.array([column, row]) - (side - 1) / 2)
            for i in range(math.floor(y) - 2, math.floor(y) + 4):
                for j in range(math.floor(x) - 2, math.floor(x) + 4):
                    cell = cells[min(max(i, 0), HEIGHT - 1), min(max(j, 0), WIDTH - 1)]
                    patches[n, k] += kernel(y - i) * kernel(x - j) * cell
    return patches


def tensors(*arrays):
    return [torch.tensor(np.array(array), dtype=torch.float64) for array in arrays]


@settings(max_examples=examples(40))
@given(side=st.integers(1, 5), count=st.integers(0, 4), seed=st.integers(0, 2**16))
def test_patches_are_those_of_the_plain_twin(side, count, seed):
    """Anywhere, also across the border and beyond it, stretched and turned."""
    random, cells = np.random.default_rng(seed), random_cells(seed)
    centres = random.uniform((-4, -4), (WIDTH + 3, HEIGHT + 3), (count, 2))
    bases = random.uniform(-1.5, 1.5, (count, 2, 2))
    found = sample_patches(cells, *tensors(centres, bases), side)
    assert found.shape == (count, side * side, CHANNELS)
    np.testing.assert_allclose(found, plain_patches(cells.numpy(), centres, bases, side), atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_at_cells_the_patch_is_a_piece_of_the_map(dtype):
    cells = random_cells(dtype=dtype)
    [patch] = sample_patches(cells, *tensors([[5, 4]], [np.eye(2)]), 3)
    assert patch.dtype == dtype
    assert torch.equal(patch.view(3, 3, CHANNELS), cells[3:6, 4:7])


def test_the_bases_columns_are_steps_right_and_down():
    cells = random_cells()
    quarter_turn = [[0, -1], [1, 0]]  # one step right in the patch is one down in the map
    [patch] = sample_patches(cells, *tensors([[5, 4]], [quarter_turn]), 3)
    assert torch.equal(patch.view(3, 3, CHANNELS), cells[3:6, 4:7].transpose(0, 1).flip(0))
    [wide] = sample_patches(cells, *tensors([[5, 4]], [[[2, 0], [0, 1]]]), 3)
    assert torch.equal(wide.view(3, 3, CHANNELS), cells[3:6, 3:8:2])


@given(
    slope=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    centre=st.tuples(st.floats(3, WIDTH - 4), st.floats(3, HEIGHT - 4)),
    angle=st.floats(-np.pi, np.pi),
)
def test_ramps_are_reproduced(slope, centre, angle):
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    cells = (slope[0] * x + slope[1] * y + 1)[..., None].float()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    [patch] = sample_patches(cells, *tensors([centre], [turn]), 2)
    offsets = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]) @ turn.T
    np.testing.assert_allclose(patch[:, 0], (centre + offsets) @ slope + 1, atol=1e-4)


def test_beyond_the_map_its_border_goes_on():
    cells = random_cells()
    far = [[-50, -50], [WIDTH + 50, -50], [-50, HEIGHT + 50], [WIDTH + 50, HEIGHT + 50], [5, -50]]
    patches = sample_patches(cells, *tensors(far, [np.eye(2)] * 5), 3)
    for patch, corner in zip(patches, (cells[0, 0], cells[0, -1], cells[-1, 0], cells[-1, -1]), strict=False):
        np.testing.assert_allclose(patch, corner.expand(9, CHANNELS), atol=1e-6)
    np.testing.assert_allclose(patches[4].view(3, 3, CHANNELS), cells[0, 4:7].expand(3, 3, CHANNELS), atol=1e-6)
