from functools import cache

import numpy as np
import pytest
import torch
from support.helpers import random_weights
from torch import multiprocessing

from d2sfm.options import Preprocessing
from d2sfm.options.training import TrainingOptions, TrainingPrecision
from d2sfm.training.dataset import Batch, SkippedPair
from d2sfm.training.distributed import Processes
from d2sfm.training.trainer import Sums, Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SIZE = 64
CELLS = (SIZE // 8) ** 2


def batch_of(*seeds: int, skipped: int = 0) -> Batch:
    """A batch of random pairs, one for each seed."""
    crops = [np.random.default_rng(seed).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8) for seed in seeds]
    firsts, seconds = [pair[0] for pair in crops], [pair[1] for pair in crops]
    cells = [torch.from_numpy(np.random.default_rng(seed).choice(CELLS, (2, 130), replace=True)) for seed in seeds]
    return Batch(
        [f"pair {seed}" for seed in seeds],
        torch.from_numpy(np.stack([*firsts, *seconds])) if seeds else torch.zeros(0, 0, 0, 3, dtype=torch.uint8),
        cells,
        [np.zeros((2, 130, 2))] * len(seeds),
        [SkippedPair(f"skipped {index}", "no reason") for index in range(skipped)],
    )


def make_trainer(processes: Processes | None = None, device: torch.device = CPU, **options) -> Trainer:
    return Trainer(random_weights(), Preprocessing.CAFFE, TrainingOptions(**options), device, processes or Processes())


def weights_of(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.trained])


def gradients_seen_by(trainer: Trainer) -> list[torch.Tensor]:
    """The gradients of each step that the optimiser takes, in a list that grows."""
    seen = []

    def note(*_):
        seen.append(torch.cat([parameter.grad.flatten() for parameter in trainer.trained]))

    trainer.optimiser.register_step_pre_hook(note)
    return seen


@cache
def mean_gradient(*seeds: int) -> torch.Tensor:
    """The gradient of the mean loss over single pairs, one after the other."""
    trainer = make_trainer()
    total = sum(trainer.losses(batch_of(seed))[0] for seed in seeds) / len(seeds)
    total.backward()
    return torch.cat([parameter.grad.flatten() for parameter in trainer.trained])


@pytest.mark.parametrize(
    "batches",
    [
        [batch_of(1, 2, 3)],
        [batch_of(1), batch_of(2), batch_of(3)],
        [batch_of(1, 2, skipped=1), batch_of(skipped=3), batch_of(3, skipped=2)],
    ],
    ids=["one batch", "accumulated", "with skips"],
)
def test_a_steps_gradient_is_the_mean_over_the_pairs_that_were_not_skipped(batches):
    trainer = make_trainer()
    seen = gradients_seen_by(trainer)
    sums = trainer.step(batches)
    expected = mean_gradient(1, 2, 3)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-6 * expected.abs().max().item())
    assert sums.pairs == 3
    assert sums.skipped == sum(len(batch.skipped) for batch in batches)
    assert sums.mean_loss == pytest.approx(make_trainer().losses(batch_of(1, 2, 3)).mean().item(), rel=1e-5)


def test_one_step_is_adams():
    trainer = make_trainer(lr=1e-2)
    before, gradient = weights_of(trainer), mean_gradient(1)
    trainer.step([batch_of(1)])
    # The first step of Adam (Kingma and Ba, algorithm 1): both averages are corrected to the gradient itself.
    expected = before - 1e-2 * gradient / (gradient.abs() + 1e-8)
    moved = gradient.abs() > 1e-6  # below it the 1e-8 meets rounding
    torch.testing.assert_close(weights_of(trainer)[moved], expected[moved], rtol=1e-4, atol=1e-6)


def test_only_conv4_3_moves():
    trainer = make_trainer()
    before = {name: tensor.clone() for name, tensor in trainer.trunk.state_dict().items()}
    trainer.step([batch_of(1)])
    moved = {name for name, tensor in trainer.trunk.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"conv4_3.weight", "conv4_3.bias"}


def test_without_pairs_there_is_no_step():
    trainer = make_trainer()
    trainer.step([batch_of(1)])  # Adam now has a momentum that an empty step would follow
    before = weights_of(trainer)
    sums = trainer.step([batch_of(skipped=2), batch_of(skipped=1)])
    assert (sums.pairs, sums.skipped) == (0, 3)
    assert np.isnan(sums.mean_loss)
    assert torch.equal(weights_of(trainer), before)


def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_pair():
    trainer = make_trainer()
    before = weights_of(trainer)
    with torch.no_grad():
        trainer.trunk.conv1_1.bias.fill_(torch.nan)
    with pytest.raises(RuntimeError, match=r"loss of pair 7 is nan"):
        trainer.step([batch_of(7)])
    assert torch.equal(weights_of(trainer), before)


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    trainer = make_trainer()
    before = weights_of(trainer)
    trainer.trunk.conv4_3.bias.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(RuntimeError, match=r"gradient of the step with pair 5 is not finite"):
        trainer.step([batch_of(5)])
    assert torch.equal(weights_of(trainer), before)


def test_a_float16_gradient_that_overflows_is_passed_over_until_no_scale_helps():
    trainer = make_trainer(precision=TrainingPrecision.FLOAT16)
    before = weights_of(trainer)
    trainer.trunk.conv4_3.bias.register_hook(lambda gradient: gradient * torch.inf)
    trainer.step([batch_of(5)])
    assert trainer.scaler.get_scale() == 2**15
    trainer.scaler.update(1.0)
    with pytest.raises(RuntimeError, match="not finite at any scale; last was the step with pair 5"):
        trainer.step([batch_of(5)])
    assert torch.equal(weights_of(trainer), before)


def test_validation_changes_nothing_and_sums_over_batches():
    trainer = make_trainer()
    before = weights_of(trainer)
    sums = trainer.validate([batch_of(1, 2, skipped=1), batch_of(skipped=1), batch_of(3)])
    assert (sums.pairs, sums.skipped) == (3, 2)
    expected = sum(trainer.losses(batch_of(seed)).item() for seed in (1, 2, 3)) / 3
    assert sums.mean_loss == pytest.approx(expected, rel=1e-5)
    assert torch.equal(weights_of(trainer), before)
    assert all(parameter.grad is None for parameter in trainer.trained)


def test_the_memory_of_a_batch_of_8_pairs_fits_a_small_gpu():
    # What autograd keeps of a pair of 256 px between forward and backward pass, which is most of what a step takes:
    # eight times that is what it keeps of eight, and the weights, which it keeps once.
    trainer, generator = make_trainer(), np.random.default_rng(0)
    crops = torch.from_numpy(generator.integers(0, 256, (2, 256, 256, 3), np.uint8))
    cells = torch.from_numpy(generator.integers(0, 1024, (2, 1000)))
    kept: dict[int, int] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer.losses(Batch(["a pair"], crops, [cells], [], []))
    assert 8 * sum(kept.values()) < 1e9


@pytest.mark.slow
@pytest.mark.parametrize("precision", [TrainingPrecision.BFLOAT16, TrainingPrecision.FLOAT16])
def test_lower_precision_comes_close_to_float32(precision):
    expected, trainer = mean_gradient(1, 2), make_trainer(precision=precision)
    seen = gradients_seen_by(trainer)
    sums = trainer.step([batch_of(1), batch_of(2)])
    exact = make_trainer().losses(batch_of(1, 2)).mean().item()
    assert sums.mean_loss == pytest.approx(exact, rel=0.02)
    cosine = torch.nn.functional.cosine_similarity(seen[0], expected, dim=0).item()
    assert cosine > 0.9
    assert seen[0].norm().item() == pytest.approx(expected.norm().item(), rel=0.2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "least_cosine"), [("float32", 0.999), ("bfloat16", 0.9), ("float16", 0.9)])
def test_a_gpu_takes_the_same_step(precision, least_cosine):
    trainer = make_trainer(device=torch.device("cuda"), precision=precision)
    seen = gradients_seen_by(trainer)
    trainer.step([batch_of(1, 2, 3, 4), batch_of(5, 6, skipped=1)])
    cosine = torch.nn.functional.cosine_similarity(seen[0].cpu(), mean_gradient(1, 2, 3, 4, 5, 6), dim=0).item()
    assert cosine > least_cosine


def test_scores_are_those_of_the_loss():
    scores = make_trainer().scores(batch_of(1, 2))
    assert scores.shape == (4, SIZE // 8, SIZE // 8)
    torch.testing.assert_close(scores.sum(dim=(1, 2)), torch.ones(4))


def test_sums_add_up():
    assert Sums(1.5, 2, 1).plus(Sums(0.5, 2, 3)) == Sums(2.0, 4, 4)
    assert Sums(1.5, 2, 1).mean_loss == 0.75


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
