import errno
import os

import numpy as np
import pytest
import torch
from support.full_disks import files_limited
from support.helpers import save_plain_weights

from d2sfm.network.weights.load import load_weights
from d2sfm.options import Preprocessing
from d2sfm.options.training import TrainingOptions
from d2sfm.training.checkpoints import Checkpoints, RunState
from d2sfm.training.dataset import Batch
from d2sfm.training.distributed import Processes
from d2sfm.training.trainer import Sums, Trainer

pytestmark = pytest.mark.usefixtures("narrow_training")

SETTINGS = {"lr": "0.001", "seed": "0"}
STATE = RunState(
    epoch=3, steps_in_epoch=7, step=47, sums=Sums(3.25, 6, 1), seconds=1.5, training_loss=0.1 + 0.2, best_epoch=1
)


@pytest.fixture(scope="module")
def batch():
    generator = np.random.default_rng(0)
    crops = torch.from_numpy(generator.integers(0, 256, (2, 96, 96, 3), np.uint8))
    cells = torch.from_numpy(generator.integers(0, 144, (2, 130)))
    return Batch(["a - b"], crops, [cells], [np.zeros((2, 130, 2))], [])


def make(folder, settings=SETTINGS, preprocessing=Preprocessing.CAFFE, **options) -> Checkpoints:
    """The checkpoints of a trainer that has taken no step."""
    weights, device = load_weights("d2_ots"), torch.device("cpu")
    trainer = Trainer(weights, preprocessing, TrainingOptions(**options), device, Processes())
    return Checkpoints(folder, trainer, settings)


def test_a_restored_run_takes_the_same_next_step(tmp_path, batch):
    first, second = make(tmp_path), make(tmp_path)
    assert second.restore() is None
    first.trainer.step([batch])
    first.save_run(STATE)
    assert second.restore() == STATE
    for each in (first, second):
        each.trainer.step([batch])
    for name, tensor in first.trainer.trunk.state_dict().items():
        assert torch.equal(tensor, second.trainer.trunk.state_dict()[name]), name


def test_the_scale_of_float16_gradients_is_kept(tmp_path, batch):
    first, second = (make(tmp_path, precision="float16") for _ in range(2))
    first.trainer.step([batch])
    first.trainer.scaler.update(128.0)
    first.save_run(STATE)
    second.restore()
    assert second.trainer.scaler.get_scale() == 128.0


def test_a_full_disk_is_named_and_the_old_checkpoint_stays(tmp_path):
    checkpoints = make(tmp_path)
    (tmp_path / "weights.pth").write_bytes(b"old")
    with files_limited(10_000), pytest.raises(OSError) as found:
        checkpoints.save_weights("weights.pth")
    assert str(found.value) == f"{tmp_path / 'weights.pth'} can't be written: {os.strerror(errno.EFBIG)}"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_both_kinds_load_as_weights_in_the_published_layout(tmp_path):
    checkpoints = make(tmp_path)
    checkpoints.save_weights("weights.pth")
    checkpoints.save_run(STATE)
    for name in ("weights.pth", "last.pth"):
        loaded = load_weights(tmp_path / name)
        assert all(torch.equal(loaded[key], tensor) for key, tensor in checkpoints.trainer.trunk.state_dict().items())
        stored = torch.load(tmp_path / name, weights_only=True)["model"]
        assert "dense_feature_extraction.model.21.weight" in stored
        assert all(tensor.is_contiguous() for tensor in stored.values())


def test_the_preprocessing_travels_with_the_weights(tmp_path):
    make(tmp_path, preprocessing=Preprocessing.TORCH).save_weights("weights.pth")
    load_weights(tmp_path / "weights.pth", Preprocessing.TORCH)
    with pytest.raises(ValueError, match="was trained with --preprocessing torch, not caffe: use it with --prep"):
        load_weights(tmp_path / "weights.pth", Preprocessing.CAFFE)


def test_long_lists_are_told_in_short(tmp_path):
    scenes = " ".join(f"{index:04d}" for index in range(117))
    make(tmp_path, SETTINGS | {"scenes": scenes}).save_run(STATE)
    with pytest.raises(ValueError, match=r"with scenes 0000 ... 0116 \(117\), but this run has none"):
        make(tmp_path).restore()


def test_other_settings_are_refused_with_both_values(tmp_path):
    make(tmp_path).save_run(STATE)
    with pytest.raises(ValueError, match="is of a run with seed 0, but this run has 1"):
        make(tmp_path, SETTINGS | {"seed": "1"}).restore()


def test_only_the_process_that_leads_writes(tmp_path):
    trainer = make(tmp_path).trainer
    trainer.processes = Processes(count=2, rank=1)
    follower = Checkpoints(tmp_path, trainer, SETTINGS)
    follower.save_weights("weights.pth")
    follower.save_run(STATE)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_the_last_whole_checkpoint(tmp_path, monkeypatch):
    checkpoints = make(tmp_path)
    checkpoints.save_run(STATE)
    before = (tmp_path / "last.pth").read_bytes()

    def cut_off(content, stream):
        stream.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save_run(STATE)
    assert (tmp_path / "last.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "can't be read as a PyTorch checkpoint"), (None, "is not a checkpoint of d2sfm train")],
)
def test_what_is_no_checkpoint_of_a_run(tmp_path, content, message):
    path = tmp_path / "last.pth"
    if content is None:
        save_plain_weights(path, 1.0)  # weights, but no run
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"last\.pth {message}"):
        make(tmp_path).restore()


def test_flipped_bits_are_told(tmp_path):
    make(tmp_path).save_run(STATE)
    path = tmp_path / "last.pth"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the middle of a tensor: any value is a good one
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*last\.pth is damaged: the check sum of [^\n]* is wrong[^\n]*$"):
        make(tmp_path).restore()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda content: content["model"]["dense_feature_extraction.model.21.bias"], "21.bias holds values that are"),
        (
            lambda content: content["training"]["optimiser"]["state"][0]["exp_avg"],
            "the optimiser's averages are not finite",
        ),
    ],
    ids=["weights", "optimiser"],
)
def test_values_that_are_not_finite_are_told(tmp_path, batch, part, message):
    checkpoints = make(tmp_path)
    checkpoints.trainer.step([batch])
    checkpoints.save_run(STATE)
    content = torch.load(tmp_path / "last.pth", weights_only=True)
    part(content)[0] = torch.nan
    torch.save(content, tmp_path / "last.pth")
    with pytest.raises(ValueError, match=rf"^[^\n]*last\.pth: [^\n]*{message}[^\n]*$"):
        make(tmp_path).restore()


def test_parts_that_no_run_wrote_are_told_in_a_line(tmp_path):
    checkpoints = make(tmp_path, precision="float16")
    checkpoints.save_run(STATE)
    content = torch.load(tmp_path / "last.pth", weights_only=True)
    odd_parts = (("optimiser", None), ("scaler", [1]), ("state", {"a": 1}), ("settings", [1]), ("settings", {1: 2}))
    for part, odd in odd_parts:
        torch.save(content | {"training": content["training"] | {part: odd}}, tmp_path / "last.pth")
        with pytest.raises(ValueError, match=r"^[^\n]*last\.pth is (not a checkpoint of|of a run with) [^\n]*$"):
            checkpoints.restore()
