"""Similarity transforms: exact, in spite of wrong positions, and upright where positions lie on a line."""

import tracemalloc

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2sfm.georeference.alignment import align, pairs_tried, residuals
from d2sfm.georeference.down import Down, upright_rotation

vectors = st.tuples(*[st.floats(-3, 3)] * 3).map(np.array)
seeds = st.integers(0, 2**20)
ANY = Down(np.array([0.0, 1, 0]), 1.0, np.zeros(3))  # where positions decide


def placed(seed, count=20, spread=(30.0, 20, 5)):
    """Points in a model, their positions, and world_from_model."""
    rng = np.random.default_rng(seed)
    positions = rng.normal(0, 1, (count, 3)) * spread + (50, -20, 183)
    truth = pycolmap.Sim3d(rng.uniform(0.1, 40), pycolmap.Rotation3d(rng.normal(0, 1, 3)), rng.normal(0, 9, 3))
    inverse = truth.inverse()
    return np.array([inverse * each for each in positions]), positions, truth


def same(found, truth, tolerance=1e-6):
    assert found.scale == pytest.approx(truth.scale, rel=tolerance)
    assert found.rotation.matrix() == pytest.approx(truth.rotation.matrix(), abs=tolerance)
    assert found.translation == pytest.approx(truth.translation, abs=1e3 * tolerance)


@settings(max_examples=20)
@given(seeds, st.booleans())
def test_exact_positions_give_the_exact_transform(seed, knows_scale):
    points, positions, truth = placed(seed)
    found = align(points, positions, 1.0, 0, down=ANY, scale=truth.scale if knows_scale else None)
    same(found.world_from_model, truth)
    assert found.used.all()
    assert found.up_by == "positions"


@pytest.mark.parametrize("knows_scale", [False, True])
def test_positions_of_height_0_give_the_exact_transform(knows_scale):
    points, positions, truth = placed(0)
    positions[:, 2] = 0
    points = np.array([truth.inverse() * each for each in positions])
    same(align(points, positions, 1.0, 0, down=ANY, scale=truth.scale if knows_scale else None).world_from_model, truth)


@given(seeds)
def test_wrong_positions_are_left_out(seed):
    points, positions, truth = placed(seed)
    wrong = np.arange(len(points)) < 6
    positions[wrong] += np.random.default_rng(seed).normal(0, 400, (6, 3)) + 30
    found = align(points, positions, 1.0, 0, down=ANY)
    same(found.world_from_model, truth)
    assert np.array_equal(found.used, ~wrong)


@given(vectors.filter(lambda each: np.linalg.norm(each) > 0.01))
def test_the_upright_rotation_takes_down_to_minus_z(down):
    down = down / np.linalg.norm(down)
    rotation = upright_rotation(down)
    assert rotation @ down == pytest.approx([0, 0, -1], abs=1e-9)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)


def on_a_line(seed, noise_m=3.0):
    points, positions, truth = placed(seed, 25, (40.0, 0.4, 0.3))
    return points, positions + np.random.default_rng(seed).normal(0, noise_m, positions.shape), truth


def seen_by(truth, view, down=(0, 0, -1)):
    """What cameras tell that looked in one direction of the world."""
    model_from_world = truth.rotation.inverse().matrix()
    return Down(model_from_world @ np.array(down, float), 1.0, model_from_world @ np.array(view, float))


@settings(max_examples=15)
@given(seeds, st.sampled_from([2.0, 10, 50]))
def test_positions_on_a_line_stay_upright_at_every_threshold(seed, max_error_m):
    points, positions, truth = on_a_line(seed)
    found = align(points, positions, max_error_m, 0, down=seen_by(truth, [1, 0, 0]))
    assert found.up_by == "cameras"
    assert found.doubt is None
    up = found.world_from_model.rotation.matrix() @ truth.rotation.inverse().matrix() @ [0, 0, 1]
    assert up[2] > np.cos(np.radians(1))


def test_a_strip_of_a_flight_that_looks_down_is_left_to_the_positions():
    for seed, across in enumerate(([1, 0, 0], [0, 1, 0], [0, -1, 0])):
        points, positions, truth = on_a_line(seed)
        down = seen_by(truth, [0, 0, -1], across)
        found = align(points, positions, 10.0, 0, down=down)
        assert found.up_by == "positions"
        assert "as in a flight that looks down" in found.doubt
        found = align(points, positions, 10.0, 0, down=down._replace(axis=down.view), is_up=True)
        up = found.world_from_model.rotation.matrix() @ truth.rotation.inverse().matrix() @ [0, 0, 1]
        assert up[2] > 0.9999


def test_cameras_that_contradict_the_positions_or_each_other_do_not_decide():
    points, positions, truth = placed(3, 25, (40.0, 4, 0.3))
    positions += np.random.default_rng(3).normal(0, 3, positions.shape)
    contradicting = seen_by(truth, [1, 0, 0], [0, 0.9, 0.436])
    found = align(points, positions, 10.0, 0, down=contradicting)
    assert "off by the positions" in found.doubt
    points, positions, truth = on_a_line(0)
    found = align(points, positions, 10.0, 0, down=seen_by(truth, [1, 0, 0])._replace(agreement=0.4))
    assert "cameras were held in different ways" in found.doubt


@given(seeds)
def test_upright_alignment_finds_turn_scale_and_shift_in_spite_of_wrong_positions(seed):
    points, positions, truth = placed(seed)
    positions[:5] += 300
    down = seen_by(truth, [1, 0, 0])
    for scale in (None, truth.scale):
        found = align(points, positions, 1.0, 0, down=down, is_up=True, scale=scale)
        same(found.world_from_model, truth)
        assert found.used.sum() == 15


@pytest.mark.parametrize("count", [2, 3, 32, 33, 200])
def test_pairs_are_all_or_some_of_all(count):
    first, second = pairs_tried(count, 0)
    every = np.stack(np.triu_indices(count, 1), axis=1).tolist()
    found = np.stack([first, second], axis=1).tolist()
    assert len(found) == len(set(map(tuple, found))) == min(len(every), 500)
    if len(every) <= 500:
        assert found == every
    else:
        some = np.random.default_rng(0).choice(len(every), 500, replace=False)
        assert found == [every[index] for index in some]


def test_pairs_of_many_positions_take_no_memory():
    tracemalloc.start()
    first, second = pairs_tried(100_000, 0)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert (first < second).all()
    assert len(first) == 500


def test_nothing_that_agrees_is_none():
    rng = np.random.default_rng(0)
    assert align(rng.normal(0, 1, (8, 3)), rng.normal(0, 1e5, (8, 3)), 0.01, 0, down=ANY) is None


def test_residuals_are_in_metres_of_the_world():
    points, positions, truth = placed(1)
    assert np.abs(residuals(truth, points, positions + np.array([0, 3, 0]))) == pytest.approx(
        np.tile([0, 3, 0], (20, 1)), abs=1e-6
    )
