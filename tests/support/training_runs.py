"""Training runs of seconds, and what they leave."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from d2sfm.options import PairOptions, TrainingOptions
from d2sfm.training import journal
from d2sfm.training.train import train

PAIRS = PairOptions(image_size=112, pairs_per_scene=4)
FEW_PAIRS = PairOptions(image_size=112, pairs_per_scene=1)
OPTIONS = {"num_epochs": 2, "num_workers": 0, "validation_pairs_per_scene": 2, "device": "cpu"}


def run(
    root,
    output,
    *,
    resume=False,
    pairs=PAIRS,
    train_scenes=("0000", "0001"),
    valid_scenes=("0001",),
    is_drawn=False,
    evaluations=None,
    **options,
):
    """is_drawn: whether losses.png shows the losses: to draw them takes longer than the steps."""
    with pytest.MonkeyPatch.context() as patch:
        if not is_drawn:
            patch.setattr(journal, "draw_losses", lambda *curves: np.zeros((1, 1, 3), np.uint8))
        return train(
            root,
            root / "info",
            output,
            train_scenes=train_scenes,
            valid_scenes=valid_scenes,
            pairs=pairs,
            options=TrainingOptions(**OPTIONS | options),
            resume=resume,
            evaluations=evaluations,
        )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def assert_same_weights(path: Path, other: Path) -> None:
    ours, theirs = weights_in(path), weights_in(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]
