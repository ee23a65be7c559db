import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.helpers import write_plane_scene

from d2sfm.options import PairOptions
from d2sfm.training.dataset import PairDataset
from d2sfm.training.distributed import Processes
from d2sfm.training.draws import draw_epoch
from d2sfm.training.loader import load, steps_of
from d2sfm.training.scenes import load_scene


@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_every_draw_is_dealt_once_and_steps_depend_on_their_size_alone(count, batch_size, accumulate, processes):
    draws = list(range(count))
    dealt = [steps_of(draws, batch_size, accumulate, Processes(processes, rank)) for rank in range(processes)]
    in_step = batch_size * accumulate * processes
    assert {len(steps) for steps in dealt} == {-(-count // in_step)}
    for number, parts in enumerate(zip(*dealt, strict=True)):
        assert all(len(part) == accumulate for part in parts)
        assert all(len(batch) <= batch_size for part in parts for batch in part)
        together = sorted(draw for part in parts for batch in part for draw in batch)
        assert together == draws[number * in_step : (number + 1) * in_step]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("scene")
    write_plane_scene(root)
    options = PairOptions(image_size=96)
    scenes = [load_scene(root / "info" / "0000.npz", options)]
    return PairDataset(root, scenes, options), draw_epoch(scenes, 7, float("inf"), 0, 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(drawn, workers):
    dataset, draws = drawn
    steps = steps_of(draws, 2, 2, Processes())
    alone, shared = (list(load(dataset, steps, count)) for count in (0, workers))
    assert [len(step) for step in alone] == [2, 2]
    for expected, found in zip(alone, shared, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert one.names == other.names
            np.testing.assert_array_equal(one.crops, other.crops)
            assert all(np.array_equal(a, b) for a, b in zip(one.cells, other.cells, strict=True))


def test_a_step_without_pairs_has_empty_batches(drawn):
    dataset, draws = drawn
    (only,) = load(dataset, steps_of(draws[:1], 1, 3, Processes()), 0)
    assert [len(batch.names) for batch in only] == [1, 0, 0]


def test_no_draws_give_no_steps(drawn):
    assert list(load(drawn[0], steps_of([], 1, 1, Processes()), 0)) == []
