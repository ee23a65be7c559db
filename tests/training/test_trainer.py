from functools import cache

import numpy as np
import pytest
import torch
from support.trainers import SIZE, batch_of, make_trainer, weights_of

from d2sfm.options.training import TrainingPrecision
from d2sfm.training.trainer import Sums, Trainer

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_training")


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
