"""Trainers with random weights, and batches of random pairs for them."""

import numpy as np
import torch
from support.helpers import random_weights

from d2sfm.options import Preprocessing
from d2sfm.options.training import TrainingOptions
from d2sfm.training.dataset import Batch, SkippedPair
from d2sfm.training.distributed import Processes
from d2sfm.training.trainer import Trainer

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
