"""Steps that two processes take together."""

import numpy as np
import pytest
import torch
from support.trainers import batch_of, make_trainer, weights_of
from torch import multiprocessing

from d2sfm.options.training import TrainingPrecision
from d2sfm.training.distributed import Processes

pytestmark = pytest.mark.usefixtures("one_thread")

# Unequal on purpose: in the second step one process has nothing but skipped pairs, in the third neither has a pair.
DEALT = {
    0: [[batch_of(1, 2), batch_of(skipped=2)], [batch_of(4, skipped=1), batch_of(5)], [batch_of(), batch_of()]],
    1: [[batch_of(skipped=1), batch_of(3)], [batch_of(skipped=2), batch_of(skipped=1)], [batch_of(skipped=1)] * 2],
}


def _run_process(rank: int, store: str, results) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    trainer = make_trainer(Processes(2, rank, rank))
    sums = [tuple(trainer.step(batches)) for batches in DEALT[rank]]
    validation = tuple(trainer.validate(DEALT[rank][0]))
    results[rank] = (sums, validation, weights_of(trainer).numpy(), _float16_from_skipped_pairs(rank))
    torch.distributed.destroy_process_group()


def _float16_from_skipped_pairs(rank: int) -> np.ndarray:
    """The weights after the first float16 step of a run that goes on, in which one process skips all its pairs."""
    trainer = make_trainer(Processes(2, rank, rank), precision=TrainingPrecision.FLOAT16)
    trainer.scaler.load_state_dict(trainer.scaler.state_dict())
    trainer.step([batch_of(skipped=1) if rank else batch_of(4)])
    return weights_of(trainer).numpy()


@pytest.mark.slow
def test_two_processes_with_unequal_skips_take_the_steps_of_one(tmp_path):
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(_run_process, args=(str(tmp_path / "store"), results), nprocs=2)
        (sums, validation, weights, in_float16), (other_sums, other_validation, *others) = results[0], results[1]
    for mine, other in zip((weights, in_float16), others, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert (sums, validation) == (other_sums, other_validation)

    alone = make_trainer()
    expected = [alone.step([*DEALT[0][step], *DEALT[1][step]]) for step in range(3)]
    assert [each[1:] for each in sums] == [each[1:] for each in expected] == [(3, 3), (2, 4), (0, 2)]
    np.testing.assert_allclose([each[0] for each in sums], [each[0] for each in expected], rtol=1e-5)
    before = weights_of(make_trainer()).numpy()
    assert not np.array_equal(in_float16, before)
    moved = np.abs(weights_of(alone).numpy() - before)
    # Adam divides by the gradient's size: where that is rounding, so is the direction.
    assert np.mean(np.abs(weights - weights_of(alone).numpy()) > 1e-3 * moved.max()) < 1e-3
    np.testing.assert_allclose(validation, alone.validate([*DEALT[0][0], *DEALT[1][0]]), rtol=1e-4)
