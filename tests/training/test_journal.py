import logging

import cv2
import numpy as np
import pytest
import torch

from d2sfm.options.training import TrainingOptions
from d2sfm.training.checkpoints import RunState
from d2sfm.training.dataset import Batch, SkippedPair
from d2sfm.training.journal import Journal
from d2sfm.training.trainer import Sums

SIZE = 96


class StubTrainer:
    """What the journal asks of a trainer."""

    def scores(self, batch):
        return torch.rand(len(batch.crops), SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batch():
    generator = np.random.default_rng(0)
    crops = torch.from_numpy(generator.integers(0, 256, (4, SIZE, SIZE, 3), np.uint8))
    positions = [generator.uniform(0, SIZE - 1, (2, 130, 2)) for _ in range(2)]
    cells = [torch.zeros(2, 130, dtype=torch.int64)] * 2
    return Batch(["a - b", "c - d"], crops, cells, positions, [])


EMPTY = Batch([], torch.zeros(0, 0, 0, 3, dtype=torch.uint8), [], [], [SkippedPair("a - b", "no reason")])


def note_steps(journal, batches, steps=range(1, 8)):
    for step in steps:
        state = RunState(step=step, sums=Sums(0.5 * step, step, 0))
        journal.step(StubTrainer(), state, batches, Sums(0.5, 1, 0), 0.1)


def test_a_line_and_a_picture_every_interval(tmp_path, batch, caplog):
    caplog.set_level(logging.INFO, "d2sfm")
    with Journal(tmp_path, TrainingOptions(log_interval=3, plot=True), leads=True, resume_step=None) as journal:
        note_steps(journal, [EMPTY, batch])
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"step_{step:07d}.png" for step in (1, 4, 7)]
    picture = cv2.imread(str(tmp_path / "pictures" / names[0]))
    assert picture.shape[0] > 2 * SIZE
    assert caplog.text.count("epoch 1, step") == 3
    assert "epoch 1, step 4: loss 0.5000, mean 0.5000" in caplog.text


def test_pictures_only_on_request_and_of_pairs_that_are_there(tmp_path, batch):
    for plot, batches in ((False, [batch]), (True, [EMPTY])):
        with Journal(tmp_path, TrainingOptions(log_interval=1, plot=plot), leads=True, resume_step=None) as journal:
            note_steps(journal, batches)
    assert not (tmp_path / "pictures").exists()


def test_an_epoch_draws_the_curve(tmp_path, batch, caplog):
    caplog.set_level(logging.INFO, "d2sfm")
    with Journal(tmp_path, TrainingOptions(), leads=True, resume_step=None) as journal:
        journal.epoch(0, 0, Sums(), Sums(2.0, 2, 0), 0.0)
        start = (tmp_path / "losses.png").read_bytes()
        note_steps(journal, [batch])
        journal.epoch(7, 1, Sums(3.5, 7, 1), Sums(1.0, 2, 0), 1.5)
    assert (tmp_path / "losses.png").read_bytes() != start
    assert "epoch 0: validation loss 1.0000" in caplog.text
    assert "epoch 1: training loss 0.5000, validation loss 0.5000" in caplog.text
    assert (tmp_path / "epochs.csv").read_text().splitlines()[1:] == ["0,0,,1.0,0,0,2,0,0.0", "1,7,0.5,0.5,7,1,2,0,1.5"]


def test_a_process_that_does_not_lead_writes_nothing(tmp_path, batch):
    with Journal(tmp_path, TrainingOptions(log_interval=1, plot=True), leads=False, resume_step=None) as journal:
        note_steps(journal, [batch])
        journal.epoch(7, 1, Sums(3.5, 7, 1), Sums(), 1.5)
    assert list(tmp_path.iterdir()) == []
