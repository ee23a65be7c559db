"""The losses of a made-up run."""

from pathlib import Path

from d2sfm.training.loss_tables import LossRecord


def step_columns(step: int, steps_per_epoch: int = 4) -> dict:
    """A step of a made-up run, whose loss is 1 / step."""
    counts = {"pairs": 1 + step % 2, "skipped": step % 3}
    return {
        "step": step,
        "epoch": 1 + (step - 1) // steps_per_epoch,
        "loss": 1 / step,
        "learning_rate": 1e-3,
        "seconds": 0.1 * step,
        **counts,
    }


def epoch_columns(epoch: int, steps_per_epoch: int = 4) -> dict:
    """An epoch of a made-up run; epoch 0 has no training loss."""
    return {
        "epoch": epoch,
        "step": epoch * steps_per_epoch,
        "training_loss": 1 / epoch if epoch else None,
        "validation_loss": 2 / (epoch + 1),
        "pairs": 6 * epoch,
        "skipped": epoch,
        "validation_pairs": 5,
        "validation_skipped": 0,
        "seconds": 1.5 * epoch,
    }


def write_run(folder: Path, steps: int = 10, tensorboard: bool = False) -> None:
    """A run of epochs of 4 steps each that was killed after so many steps."""
    with LossRecord(folder, tensorboard=tensorboard) as record:
        record.epoch(**epoch_columns(0))
        for step in range(1, steps + 1):
            record.step(**step_columns(step))
            if step % 4 == 0:
                record.epoch(**epoch_columns(step // 4))
