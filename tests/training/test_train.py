import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.helpers import write_plane_scene

from d2sfm.network.weights.load import load_weights
from d2sfm.options import PairOptions, TrainingOptions
from d2sfm.training import dataset as dataset_module
from d2sfm.training import epochs as epochs_module
from d2sfm.training.checkpoints import BEST, LAST
from d2sfm.training.train import train
from d2sfm.training.trainer import Sums, Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = PairOptions(image_size=112, pairs_per_scene=4)
OPTIONS = {"num_epochs": 2, "num_workers": 0, "validation_pairs_per_scene": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset")
    for name in ("0000", "0001"):
        write_plane_scene(root, name)
    return root


def run(root, output, *, resume=False, pairs=PAIRS, train_scenes=("0000", "0001"), valid_scenes=("0001",), **options):
    return train(
        root,
        root / "info",
        output,
        train_scenes=train_scenes,
        valid_scenes=valid_scenes,
        pairs=pairs,
        options=TrainingOptions(**OPTIONS | options),
        resume=resume,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]


def assert_same_weights(path: Path, other: Path) -> None:
    ours, theirs = weights_in(path), weights_in(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_run_leaves_checkpoints_tables_and_pictures(root, tmp_path):
    output = tmp_path / "out"
    summary = run(root, output, use_validation=True, plot=True, log_interval=5)
    names = {path.relative_to(output).as_posix() for path in output.rglob("*.*") if "tfevents" not in path.name}
    pictures = {f"pictures/step_{step:07d}.png" for step in (1, 6, 11, 16)}
    assert names - {BEST} == {"epoch_01.pth", "epoch_02.pth", LAST, "epochs.csv", "losses.png", "steps.csv", *pictures}
    steps, epochs = rows(output / "steps.csv"), rows(output / "epochs.csv")
    assert [int(row["step"]) for row in steps] == list(range(1, 17))
    assert [row["epoch"] for row in epochs] == ["0", "1", "2"]
    assert summary.training_loss == pytest.approx(np.mean([float(row["loss"]) for row in steps[8:]]))
    assert summary.start_loss == float(epochs[0]["validation_loss"])
    assert summary.is_whole
    assert "2 epochs, training loss" in str(summary)


def test_weights_load_for_extraction_and_only_conv4_3_differs(root, tmp_path):
    run(root, tmp_path / "out", num_epochs=1)
    start, trained = load_weights("d2_ots"), load_weights(tmp_path / "out" / LAST)
    assert {name for name in start if not torch.equal(start[name], trained[name])} == {"conv4_3.weight", "conv4_3.bias"}
    assert_same_weights(tmp_path / "out" / LAST, tmp_path / "out" / "epoch_01.pth")


def test_the_loss_falls(root, tmp_path):
    pairs = PairOptions(image_size=112, pairs_per_scene=8)
    summary = run(root, tmp_path / "out", pairs=pairs, use_validation=True, num_epochs=3, lr=1e-4)
    losses = [float(row["training_loss"]) for row in rows(tmp_path / "out" / "epochs.csv")[1:]]
    assert losses[-1] < losses[0]
    assert summary.best_loss < summary.start_loss
    assert str(tmp_path / "out" / BEST) in str(summary)


def stop_after(monkeypatch, steps: int) -> None:
    """The run is cut off in the middle of an epoch, after so many steps."""
    whole_step, done = Trainer.step, []

    def step(self, batches):
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(None)
        return whole_step(self, batches)

    monkeypatch.setattr(Trainer, "step", step)


RESUMABLE = {"use_validation": True, "checkpoint_interval": 3}


@pytest.fixture(scope="module")
def unbroken(root, tmp_path_factory, one_thread):
    output = tmp_path_factory.mktemp("unbroken") / "out"
    run(root, output, **RESUMABLE)
    return output


@pytest.mark.parametrize("stopped_after", [0, 5, 8, 13])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(root, tmp_path, monkeypatch, unbroken, stopped_after):
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        stop_after(patch, stopped_after)
        with pytest.raises(KeyboardInterrupt):
            run(root, broken, **RESUMABLE)
    # Workers change nothing, so the run may go on with another number of them.
    run(root, broken, resume=True, num_workers=2, **RESUMABLE)
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


def test_a_finished_run_can_be_made_longer(root, tmp_path):
    run(root, tmp_path / "long", num_epochs=2)
    run(root, tmp_path / "grown", num_epochs=1)
    summary = run(root, tmp_path / "grown", num_epochs=2, resume=True)
    assert summary.epochs == 2
    assert_same_weights(tmp_path / "long" / LAST, tmp_path / "grown" / LAST)
    again = run(root, tmp_path / "grown", num_epochs=2, resume=True)
    assert again.training_loss == summary.training_loss


def test_an_output_that_is_a_file_is_told_at_once(root, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="--output must be a folder, found the file"):
        run(root, tmp_path / "out")


def test_weights_of_torch_preprocessing_say_so(root, tmp_path):
    pairs = PairOptions(image_size=112, pairs_per_scene=2, preprocessing="torch")
    assert str(run(root, tmp_path / "out", pairs=pairs, num_epochs=1)).endswith("last.pth --preprocessing torch")


def test_resume_without_a_checkpoint_begins(root, tmp_path):
    assert run(root, tmp_path / "out", resume=True, num_epochs=1).epochs == 1


def test_another_runs_output_is_refused(root, tmp_path):
    run(root, tmp_path / "out", num_epochs=1)
    with pytest.raises(ValueError, match="holds a run: go on with it by --resume"):
        run(root, tmp_path / "out", num_epochs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, "a run with lr 0.001, this one has 0.5"),
        ({"batch_size": 3}, "a run with pairs in a step 1, this one has 3"),
        ({"pairs": PairOptions(image_size=104)}, "a run with image_size 112, this one has 104"),
        ({"train_scenes": ("0001",)}, "a run with training scenes 0000 0001, this one has 0001"),
        ({"use_validation": True}, "a run with validation scenes none, this one has 0001"),
    ],
)
def test_resume_with_other_settings_is_refused(root, tmp_path, change, message):
    run(root, tmp_path / "out", num_epochs=1)
    with pytest.raises(ValueError, match=message):
        run(root, tmp_path / "out", resume=True, **change)


def test_a_damaged_checkpoint_is_told(root, tmp_path):
    output = tmp_path / "out"
    run(root, output, num_epochs=1)
    (output / LAST).write_bytes((output / LAST).read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"last\.pth is no checkpoint of a training run"):
        run(root, output, resume=True)


@pytest.mark.parametrize(
    ("losses", "best_epoch"),
    [([1.0, 0.9, 0.8], 2), ([1.0, 0.8, 0.9], 1), ([1.0, 1.0, 1.2], 0), ([1.0, 0.9, 0.9], 1)],
)
def test_the_best_checkpoint_is_strictly_better_than_all_before(root, tmp_path, monkeypatch, losses, best_epoch):
    measured = iter(losses)
    monkeypatch.setattr(Trainer, "validate", lambda self, batches: Sums(next(measured), len(list(batches)), 0))
    # As many pairs as batches of one: the sums are the losses.
    summary = run(root, tmp_path / "out", use_validation=True, validation_pairs_per_scene=1)
    assert (summary.best_epoch, summary.best_loss) == (best_epoch, min(losses))
    if best_epoch:
        assert_same_weights(tmp_path / "out" / BEST, tmp_path / "out" / f"epoch_{best_epoch:02d}.pth")
    else:
        assert not (tmp_path / "out" / BEST).exists()
        assert "the validation loss was never below the 1.0000 of the start" in str(summary)


def test_validation_pairs_are_the_same_in_every_run(root, tmp_path):
    first, second = (
        run(root, tmp_path / str(seed), use_validation=True, num_epochs=1, seed=seed).start_loss for seed in (0, 5)
    )
    assert first == second


def test_an_epoch_of_nothing_but_skipped_pairs_stops(root, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "MIN_CORRESPONDENCES", 1000)
    with pytest.raises(RuntimeError, match="all 8 pairs of epoch 1 were skipped: 8 with fewer than 1000 corresp"):
        run(root, tmp_path / "out")


def test_validation_of_nothing_but_skipped_pairs_stops(root, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "MIN_CORRESPONDENCES", 1000)
    with pytest.raises(RuntimeError, match="all 2 validation pairs were skipped: 2 with fewer than 1000 corresp"):
        run(root, tmp_path / "out", use_validation=True)


def test_broken_files_are_skipped_and_named(tmp_path, caplog):
    write_plane_scene(tmp_path)
    (tmp_path / "depth" / "0000_1.h5").write_text("no depth")
    pairs = PairOptions(image_size=112, pairs_per_scene=12)
    summary = run(tmp_path, tmp_path / "out", pairs=pairs, train_scenes=("0000",), num_epochs=2)
    assert not summary.is_whole
    (broken,) = summary.skips.broken
    assert "0000_1.h5 is no HDF5 file" in broken
    assert 0 < summary.skips.reasons["broken files"] < 24
    assert caplog.text.count("0000_1.h5 is no HDF5 file") == 1
    assert f"pairs skipped: {summary.skips.reasons['broken files']} with broken files" in str(summary)
    assert f"broken files: 1, listed in {tmp_path / 'out' / 'broken_files.txt'}" in str(summary)
    assert (tmp_path / "out" / "broken_files.txt").read_text() == f"{broken}\n"


def test_missing_scenes_are_left_out_and_named(root, tmp_path, caplog):
    summary = run(root, tmp_path / "out", train_scenes=("0000", "0404"), num_epochs=1)
    assert list(summary.left_out) == ["0404"]
    assert not summary.is_whole
    assert "left out: 1 of 2 scenes have no file in" in caplog.text
    assert caplog.text.count("0404") == 1


def test_the_default_number_of_workers_keeps_to_the_cores(root, tmp_path, monkeypatch):
    asked = []

    def load(dataset, steps, workers, pin_memory):
        asked.append(workers)
        raise KeyboardInterrupt

    monkeypatch.setattr(epochs_module, "load", load)
    for cores, expected in (({0}, 1), (set(range(64)), 4)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        with pytest.raises(KeyboardInterrupt):
            run(root, tmp_path / str(expected), num_workers=None)
        assert asked[-1] == expected


def test_settings_in_a_checkpoint_are_plain_text(root, tmp_path):
    run(root, tmp_path / "out", num_epochs=1)
    settings = torch.load(tmp_path / "out" / LAST, weights_only=True)["training"]["settings"]
    assert json.loads(json.dumps(settings)) == settings
    assert settings["precision"] == "float32"
