"""Local affine maps from matches: known ones come back, and what can't be told is taken from the whole pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.refinement.warps import LARGEST_STRETCH, local_warps

FIELD_PX = (800.0, 600.0)


def similarity(degrees, factor):
    angle = np.radians(degrees)
    return factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def positions(random, count):
    return random.uniform((0, 0), FIELD_PX, (count, 2))


def deviations(warps, expected):
    """Largest relative error of an offset's image, for each match."""
    return np.linalg.norm(warps - expected, ord=2, axis=(1, 2))


@settings(max_examples=examples(25))
@given(
    degrees=st.floats(-180, 180),
    factor=st.floats(0.5, 2),
    shear=st.tuples(*[st.floats(-0.2, 0.2)] * 4),
    seed=st.integers(0, 2**16),
)
def test_an_affine_map_is_found_in_disturbed_matches(degrees, factor, shear, seed):
    """Positions of both images off by up to 2 px on each axis, so 4 px in all, and one match in five anywhere.

    Over some 80 px around a match, the distance of 32 matches, that leaves a twentieth of a step.
    """
    random = np.random.default_rng(seed)
    b_from_a = similarity(degrees, factor) @ (np.eye(2) + np.reshape(shear, (2, 2)))
    xy_a = positions(random, 500)
    xy_b = xy_a @ b_from_a.T + (30, -50)
    xy_a, xy_b = (xy + random.uniform(-2, 2, xy.shape) for xy in (xy_a, xy_b))
    false = random.permutation(500) < 100
    xy_b[false] = random.uniform(xy_b.min(axis=0), xy_b.max(axis=0), (100, 2))
    errors = deviations(local_warps(xy_a, xy_b), b_from_a) / factor
    assert np.median(errors) < 0.1
    assert np.percentile(errors, 90) < 0.25


@settings(max_examples=examples(25))
@given(degrees=st.floats(-180, 180), factor=st.floats(0.4, 2.9), count=st.integers(2, 60), seed=st.integers(0, 2**16))
def test_an_exact_similarity_comes_back_whatever_the_number_of_matches(degrees, factor, count, seed):
    b_from_a = similarity(degrees, factor)
    xy_a = positions(np.random.default_rng(seed), count)
    warps = local_warps(xy_a, xy_a @ b_from_a.T + (7, 11))
    assert warps.shape == (count, 2, 2)
    np.testing.assert_allclose(warps, np.tile(b_from_a, (count, 1, 1)), atol=1e-5)


def test_different_surfaces_have_different_maps():
    random = np.random.default_rng(1)
    xy_a = positions(random, 600)
    right = xy_a[:, 0] > 400
    flat, steep = np.eye(2), np.array([[0.6, 0.0], [0.1, 1.0]])
    xy_b = np.where(right[:, None], (xy_a - (400, 0)) @ steep.T + (400, 0), xy_a)
    warps = local_warps(xy_a, xy_b)
    for inside, expected in ((xy_a[:, 0] < 250, flat), (xy_a[:, 0] > 550, steep)):
        assert np.median(deviations(warps[inside], expected)) < 0.02


def test_matches_on_a_line_take_the_other_direction_from_the_similarity():
    xy_a = np.column_stack([np.linspace(0, 500, 40), np.zeros(40)])
    warps = local_warps(xy_a, xy_a @ similarity(30, 1.5).T)
    np.testing.assert_allclose(warps, np.tile(similarity(30, 1.5), (40, 1, 1)), atol=1e-9)


def test_three_matches_have_the_similarity_of_all():
    xy_a = np.array([[0.0, 0], [100, 0], [0, 100]])
    stretched = xy_a * (1.4, 1.0)  # a plain affine fit would give this back
    warps = local_warps(xy_a, stretched)
    assert np.array_equal(warps, np.tile(warps[0], (3, 1, 1)))
    assert warps[0][0, 0] == warps[0][1, 1]
    assert warps[0][0, 1] == -warps[0][1, 0]
    assert 1 < np.sqrt(np.linalg.det(warps[0])) < 1.4


def test_no_matches_have_no_maps():
    assert local_warps(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 2, 2)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_matches_at_one_place_tell_nothing(count):
    warps = local_warps(np.full((count, 2), 50.0), np.full((count, 2), 70.0))
    np.testing.assert_allclose(warps, np.tile(np.eye(2), (count, 1, 1)), atol=1e-9)


def test_a_map_that_mirrors_is_no_view_of_a_surface():
    xy_a = positions(np.random.default_rng(2), 200)
    warps = local_warps(xy_a, xy_a * (-1, 1) + (800, 0))
    assert (np.linalg.det(warps) > 0).all()
    assert np.array_equal(warps, np.tile(warps[0], (200, 1, 1)))


@pytest.mark.parametrize("factor", [4.0, 0.2])
def test_a_map_that_stretches_too_much_is_not_believed(factor):
    xy_a = positions(np.random.default_rng(3), 200)
    stretches = np.linalg.svd(local_warps(xy_a, xy_a * (factor, 1.0)), compute_uv=False)
    assert stretches.max() <= LARGEST_STRETCH
    assert stretches.min() >= 1 / LARGEST_STRETCH
    assert np.array_equal(local_warps(xy_a, xy_a * factor), np.tile(np.eye(2), (200, 1, 1)))
