"""Runs that go on from a checkpoint, and those that may not."""

import shutil
from dataclasses import replace

import pytest
import torch
from support.training_runs import FEW_PAIRS, assert_same_weights, rows, run

from d2sfm.options import PairOptions
from d2sfm.training.checkpoints import BEST, LAST
from d2sfm.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_training")

# Four steps in an epoch.
FOUR_PAIRS = PairOptions(image_size=112, pairs_per_scene=2)
RESUMABLE = {"use_validation": True, "checkpoint_interval": 2, "pairs": FOUR_PAIRS}


def stop_after(monkeypatch, steps: int) -> None:
    """The run is cut off in the middle of an epoch, after so many steps."""
    whole_step, done = Trainer.step, []

    def step(self, batches):
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(None)
        return whole_step(self, batches)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.fixture(scope="module")
def unbroken(root, tmp_path_factory, one_thread):
    output = tmp_path_factory.mktemp("unbroken") / "out"
    run(root, output, **RESUMABLE)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stopped_after", "workers"), [(3, 0), *(pytest.param(steps, 2, marks=pytest.mark.slow) for steps in (0, 3, 4, 7))]
)
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(
    root, tmp_path, monkeypatch, unbroken, stopped_after, workers
):
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        stop_after(patch, stopped_after)
        with pytest.raises(KeyboardInterrupt):
            run(root, broken, **RESUMABLE)
    # Workers change nothing, so the run may go on with another number of them.
    run(root, broken, resume=True, num_workers=workers, **RESUMABLE)
    assert_same_weights(unbroken / LAST, broken / LAST)

    def timeless(path):
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows(path)]

    for table in ("steps.csv", "epochs.csv"):
        assert timeless(unbroken / table) == timeless(broken / table)
    assert (unbroken / BEST).exists() == (broken / BEST).exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_a_resumed_run_comes_close_to_an_unbroken_one(root, tmp_path, monkeypatch):
    settings = RESUMABLE | {"device": "cuda", "lr": 1e-4}
    whole = run(root, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            run(root, tmp_path / "broken", **settings)
    resumed = run(root, tmp_path / "broken", resume=True, **settings)
    # Kernels add up in an order of their own, and Adam makes a step of the rounding where a gradient is near 0.
    assert resumed.training_loss == pytest.approx(whole.training_loss, rel=0.01)
    assert resumed.start_loss == pytest.approx(whole.start_loss, rel=1e-4)


@pytest.mark.slow
def test_a_finished_run_can_be_made_longer(root, tmp_path):
    run(root, tmp_path / "long", pairs=FEW_PAIRS, num_epochs=2)
    run(root, tmp_path / "grown", pairs=FEW_PAIRS, num_epochs=1)
    summary = run(root, tmp_path / "grown", pairs=FEW_PAIRS, num_epochs=2, resume=True)
    assert summary.epochs == 2
    assert_same_weights(tmp_path / "long" / LAST, tmp_path / "grown" / LAST)
    again = run(root, tmp_path / "grown", pairs=FEW_PAIRS, num_epochs=2, resume=True)
    assert again.training_loss == summary.training_loss


def test_resume_without_a_checkpoint_begins(root, tmp_path):
    assert run(root, tmp_path / "out", resume=True, pairs=FEW_PAIRS, num_epochs=1).epochs == 1


def test_another_runs_output_is_refused(root, one_epoch):
    with pytest.raises(ValueError, match="holds a training run: continue it with --resume"):
        run(root, one_epoch, num_epochs=1)


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_left_of_a_run_without_its_last_checkpoint_is_not_written_over(root, one_epoch, tmp_path, resume):
    left = tmp_path / "left"
    shutil.copytree(one_epoch, left)
    (left / LAST).unlink()
    (left / BEST).touch()
    before = {path.name: path.stat().st_mtime_ns for path in left.iterdir()}
    with pytest.raises(
        ValueError, match=r"no last\.pth to continue from: start from --weights .*/epoch_01\.pth with an"
    ):
        run(root, left, resume=resume, num_epochs=1)
    assert {path.name: path.stat().st_mtime_ns for path in left.iterdir()} == before
    (left / "epoch_01.pth").unlink()
    with pytest.raises(ValueError, match=r"start from --weights .*/best\.pth with another --output"):
        run(root, left, resume=resume, num_epochs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, "a run with lr 0.001, but this run has 0.5"),
        ({"batch_size": 3}, "a run with pairs in a step 1, but this run has 3"),
        ({"pairs": replace(FEW_PAIRS, image_size=104)}, "a run with image_size 112, but this run has 104"),
        ({"train_scenes": ("0001",)}, "a run with training scenes 0000 0001, but this run has 0001"),
        ({"use_validation": True}, "a run with validation scenes none, but this run has 0001"),
    ],
)
def test_resume_with_other_settings_is_refused(root, one_epoch, change, message):
    with pytest.raises(ValueError, match=message):
        run(root, one_epoch, resume=True, **{"pairs": FEW_PAIRS} | change)


def test_a_damaged_checkpoint_is_told(root, one_epoch, tmp_path):
    output = shutil.copytree(one_epoch, tmp_path / "out")
    (output / LAST).write_bytes((output / LAST).read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"last\.pth can't be read as a PyTorch checkpoint"):
        run(root, output, resume=True)
