"""Alignment of patches against a plain search over all shifts, and where the truth is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from torch.nn import functional as F

from d2sfm.network.early_maps import FINE
from d2sfm.refinement.patch_search import Search, search_patches
from d2sfm.refinement.patches import sample_patches

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS, EDGE = 32, 40


def smooth_map(seed, shift=(0.0, 0.0), frequency=0.5):
    """Waves of all directions and at most ``frequency`` radians a cell, sampled ``shift`` (x, y) cells aside."""
    random = np.random.default_rng(seed)
    waves = random.uniform(-frequency, frequency, (CHANNELS, 6, 2))
    phases, heights = random.uniform(0, 2 * np.pi, (CHANNELS, 6)), random.normal(size=(CHANNELS, 6))
    y, x = np.mgrid[:EDGE, :EDGE].astype(np.float64)
    x, y = x + shift[0], y + shift[1]
    angles = waves[..., 0, None, None] * x + waves[..., 1, None, None] * y + phases[..., None, None]
    cells = torch.from_numpy((heights[..., None, None] * np.cos(angles)).sum(1)).permute(1, 2, 0)
    return F.normalize(cells.float(), dim=2)


def rough_map(seed):
    return F.normalize(torch.randn(EDGE, EDGE, CHANNELS, generator=torch.Generator().manual_seed(seed)), dim=2)


def some_bases(random, count):
    return torch.from_numpy(np.eye(2) + random.uniform(-0.3, 0.3, (count, 2, 2)))


def plain_search(cells, centres, bases, references, search):
    """Steps, and the smaller curvature of the cost, shift after shift."""
    found = []
    for centre, basis, reference in zip(centres, bases, references, strict=True):
        cost = {}
        for down in range(-search.reach, search.reach + 1):
            for right in range(-search.reach, search.reach + 1):
                moved = centre + basis @ torch.tensor([right, down], dtype=torch.float64)
                patch = sample_patches(cells, moved[None], basis[None], search.side)[0].double()
                cost[right, down] = float((patch - reference.double()).square().sum() / search.side**2)
        (right, down), lowest = min(cost.items(), key=lambda item: item[1])
        step, curvatures = [], []
        for place, x, y in ((right, 1, 0), (down, 0, 1)):
            before, after = cost.get((right - x, down - y)), cost.get((right + x, down + y))
            inside = before is not None and after is not None
            curvature = before - 2 * lowest + after if inside else 0.0
            curvatures.append(curvature)
            step.append(place + (np.clip((before - after) / (2 * curvature), -0.5, 0.5) if inside else 0))
        found.append([*step, min(curvatures)])
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("side", [1, 4, *(pytest.param(side, marks=pytest.mark.slow) for side in (3, 5))])
@settings(max_examples=5)
@given(reach=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_steps_are_those_of_a_plain_search(side, reach, seed):
    random, search = np.random.default_rng(seed), Search(FINE, side, reach)
    cells = smooth_map(seed, frequency=2.0)
    centres = torch.from_numpy(random.uniform(-1, EDGE, (6, 2)))
    bases = some_bases(random, 6)
    nearby = centres + torch.from_numpy(random.uniform(-reach, reach, (6, 2)))
    references = sample_patches(cells, nearby, bases, side)
    found = search_patches(cells, centres, bases, references, search)
    expected = plain_search(cells, centres, bases, references, search)
    # Where the cost has hardly a minimum, rounding decides its place.
    sharp = expected[:, 2] > 0.05
    np.testing.assert_allclose(found[sharp], expected[sharp, :2], atol=5e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -1), (-1, 1)])
def test_whole_shifts_are_found(shift, dtype):
    cells, random = rough_map(1).to(dtype), np.random.default_rng(1)
    centres, bases = torch.from_numpy(random.uniform(15, 25, (10, 2))), some_bases(random, 10)
    moved = centres + bases @ torch.tensor(shift, dtype=torch.float64)
    found = search_patches(cells, centres, bases, sample_patches(cells, moved, bases, 5), Search(FINE, 5, 2))
    assert torch.equal(found.round().long(), torch.tensor(shift).expand(10, 2))
    # The parabola through rough neighbours is a fifth of a step off at most.
    assert (found - torch.tensor(shift)).abs().max() < 0.2


@settings(max_examples=examples(30))
@given(shift=st.tuples(st.floats(-1.4, 1.4), st.floats(-1.4, 1.4)), seed=st.integers(0, 2**16))
def test_a_fraction_of_a_cell_on_a_smooth_map_is_exact_to_a_fifth(shift, seed):
    """One parabola on each axis knows nothing of valleys that run aslant: that is what is left."""
    here, there = smooth_map(seed), smooth_map(seed, shift)
    random = np.random.default_rng(seed)
    centres = torch.from_numpy(random.uniform(12, 28, (20, 2)))
    bases = torch.eye(2, dtype=torch.float64).expand(20, 2, 2)
    references = sample_patches(there, centres, bases, 7)
    found = search_patches(here, centres, bases, references, Search(FINE, 7, 2))
    errors = (found - torch.tensor(shift)).norm(dim=1)
    assert errors.median() < 0.2
    assert errors.max() < 0.5


@pytest.mark.parametrize(("shift", "expected"), [((2, 0), (2, 0)), ((-2, 2), (-2, 2)), ((2.4, 0), (2, 0))])
def test_at_the_border_of_the_search_there_is_no_fraction(shift, expected):
    cells = smooth_map(3)
    centres, bases = torch.full((1, 2), 20.0), torch.eye(2)[None]
    references = sample_patches(cells, centres + torch.tensor(shift), bases, 5)
    found = search_patches(cells, centres, bases, references, Search(FINE, 5, 2))
    for axis, place in enumerate(expected):
        if abs(place) == 2:
            assert found[0, axis] == place


def test_on_a_flat_map_nothing_moves_far():
    cells = F.normalize(torch.ones(EDGE, EDGE, CHANNELS), dim=2)
    centres, bases = torch.full((3, 2), 20.0), torch.eye(2).expand(3, 2, 2)
    found = search_patches(cells, centres, bases, sample_patches(cells, centres, bases, 5), Search(FINE, 5, 1))
    assert torch.isfinite(found).all()
    assert found.abs().max() <= 1


def test_no_references():
    nothing = torch.zeros(0, 2), torch.zeros(0, 2, 2), torch.zeros(0, 25, CHANNELS)
    found = search_patches(rough_map(0), *nothing, Search(FINE, 5, 2))
    assert found.shape == (0, 2)
