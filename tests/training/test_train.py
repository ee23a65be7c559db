import json

import numpy as np
import pytest
import torch
from support.helpers import write_plane_scene
from support.training_runs import FEW_PAIRS, assert_same_weights, rows, run

from d2sfm.network.weights.load import load_weights
from d2sfm.options import PairOptions
from d2sfm.training import dataset as dataset_module
from d2sfm.training import epochs as epochs_module
from d2sfm.training.checkpoints import BEST, LAST
from d2sfm.training.trainer import Sums, Trainer

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_training")


@pytest.mark.slow
def test_a_run_leaves_checkpoints_tables_and_pictures(root, tmp_path):
    output = tmp_path / "out"
    pairs = PairOptions(image_size=112, pairs_per_scene=2)
    summary = run(root, output, pairs=pairs, use_validation=True, plot=True, log_interval=3, is_drawn=True)
    names = {path.relative_to(output).as_posix() for path in output.rglob("*.*") if "tfevents" not in path.name}
    pictures = {f"pictures/step_{step:07d}.png" for step in (1, 4, 7)}
    assert names - {BEST} == {"epoch_01.pth", "epoch_02.pth", LAST, "epochs.csv", "losses.png", "steps.csv", *pictures}
    steps, epochs = rows(output / "steps.csv"), rows(output / "epochs.csv")
    assert [int(row["step"]) for row in steps] == list(range(1, 9))
    assert [row["epoch"] for row in epochs] == ["0", "1", "2"]
    assert summary.training_loss == pytest.approx(np.mean([float(row["loss"]) for row in steps[4:]]))
    assert summary.start_loss == float(epochs[0]["validation_loss"])
    assert summary.is_whole
    assert "2 epochs, training loss" in str(summary)


@pytest.mark.slow
def test_weights_are_evaluated_after_each_epoch(root, tmp_path, caplog):
    asked = []

    def evaluation(weights):
        asked.append(weights.name)
        return {"right": len(asked) / 4, "others": sum(load_weights(weights)["conv4_3.bias"].isfinite()).item()}

    output = tmp_path / "out"
    with caplog.at_level("INFO"):
        run(root, output, pairs=FEW_PAIRS, evaluations={"planes": evaluation})
    assert asked == ["epoch_01.pth", "epoch_02.pth"]
    found = [(row["epoch"], row["evaluation"], row["figure"], row["value"]) for row in rows(output / "evaluations.csv")]
    assert found[::2] == [("1", "planes", "right", "0.25"), ("2", "planes", "right", "0.5")]
    assert [row["step"] for row in rows(output / "evaluations.csv")][1:3] == [
        row["step"] for row in rows(output / "epochs.csv")
    ]
    assert "epoch 2, planes: right 0.500, others 512" in caplog.text


def test_weights_load_for_extraction_and_only_conv4_3_differs(one_epoch):
    start, trained = load_weights("d2_ots"), load_weights(one_epoch / LAST)
    assert {name for name in start if not torch.equal(start[name], trained[name])} == {"conv4_3.weight", "conv4_3.bias"}
    assert_same_weights(one_epoch / LAST, one_epoch / "epoch_01.pth")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pairs_per_scene", "epochs"), [(4, 2), pytest.param(8, 3, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_the_loss_falls(root, tmp_path, pairs_per_scene, epochs):
    pairs = PairOptions(image_size=112, pairs_per_scene=pairs_per_scene)
    summary = run(root, tmp_path / "out", pairs=pairs, use_validation=True, num_epochs=epochs, lr=1e-4)
    losses = [float(row["training_loss"]) for row in rows(tmp_path / "out" / "epochs.csv")[1:]]
    assert losses[-1] < losses[0]
    assert summary.best_loss < summary.start_loss
    assert str(tmp_path / "out" / BEST) in str(summary)


def test_an_output_that_is_a_file_is_told_at_once(root, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="--output must be a folder, found the file"):
        run(root, tmp_path / "out")


def test_weights_of_torch_preprocessing_say_so(root, tmp_path):
    pairs = PairOptions(image_size=112, pairs_per_scene=2, preprocessing="torch")
    assert str(run(root, tmp_path / "out", pairs=pairs, num_epochs=1)).endswith("last.pth --preprocessing torch")


@pytest.mark.parametrize(
    ("losses", "best_epoch"),
    [
        ([1.0, 1.0, 1.2], 0),
        ([1.0, 0.9, 0.9], 1),
        pytest.param([1.0, 0.9, 0.8], 2, marks=pytest.mark.slow),
        pytest.param([1.0, 0.8, 0.9], 1, marks=pytest.mark.slow),
    ],
)
def test_the_best_checkpoint_is_strictly_better_than_all_before(root, tmp_path, monkeypatch, losses, best_epoch):
    measured = iter(losses)
    monkeypatch.setattr(Trainer, "validate", lambda self, batches: Sums(next(measured), len(list(batches)), 0))
    # As many pairs as batches of one: the sums are the losses.
    summary = run(root, tmp_path / "out", pairs=FEW_PAIRS, use_validation=True, validation_pairs_per_scene=1)
    assert (summary.best_epoch, summary.best_loss) == (best_epoch, min(losses))
    if best_epoch:
        assert_same_weights(tmp_path / "out" / BEST, tmp_path / "out" / f"epoch_{best_epoch:02d}.pth")
    else:
        assert not (tmp_path / "out" / BEST).exists()
        assert "the validation loss was never below the 1.0000 of the start" in str(summary)


@pytest.mark.slow
def test_validation_pairs_are_the_same_in_every_run(root, tmp_path):
    first, second = (
        run(root, tmp_path / str(seed), pairs=FEW_PAIRS, use_validation=True, num_epochs=1, seed=seed).start_loss
        for seed in (0, 5)
    )
    assert first == second


def test_an_epoch_of_nothing_but_skipped_pairs_stops(root, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "MIN_CORRESPONDENCES", 1000)
    with pytest.raises(RuntimeError, match="no pair of epoch 1 is left, 8 skipped: 8 with fewer than 1000 corresp"):
        run(root, tmp_path / "out")


def test_validation_of_nothing_but_skipped_pairs_stops(root, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "MIN_CORRESPONDENCES", 1000)
    with pytest.raises(RuntimeError, match="no validation pair is left, 2 skipped: 2 with fewer than 1000 corresp"):
        run(root, tmp_path / "out", use_validation=True)


@pytest.mark.slow
def test_broken_files_are_skipped_and_named(tmp_path, caplog):
    write_plane_scene(tmp_path)
    (tmp_path / "depth" / "0000_1.h5").write_text("no depth")
    pairs = PairOptions(image_size=112, pairs_per_scene=12)
    summary = run(tmp_path, tmp_path / "out", pairs=pairs, train_scenes=("0000",), num_epochs=2)
    assert not summary.is_whole
    (broken,) = summary.skips.broken
    assert "0000_1.h5 is not an HDF5 file" in broken
    assert 0 < summary.skips.reasons["broken files"] < 24
    assert caplog.text.count("0000_1.h5 is not an HDF5 file") == 1
    assert f"pairs skipped: {summary.skips.reasons['broken files']} with broken files" in str(summary)
    assert f"broken files: 1, listed in {tmp_path / 'out' / 'broken_files.txt'}" in str(summary)
    assert (tmp_path / "out" / "broken_files.txt").read_text() == f"{broken}\n"


def test_missing_scenes_are_left_out_and_named(root, tmp_path, caplog):
    summary = run(root, tmp_path / "out", pairs=FEW_PAIRS, train_scenes=("0000", "0404"), num_epochs=1)
    assert list(summary.left_out) == ["0404"]
    assert not summary.is_whole
    assert ": 1 of 2 scenes (0404)" in caplog.text.partition("left out, without a file in ")[2]
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


def test_settings_in_a_checkpoint_are_plain_text(one_epoch):
    settings = torch.load(one_epoch / LAST, weights_only=True)["training"]["settings"]
    assert json.loads(json.dumps(settings)) == settings
    assert settings["precision"] == "float32"
