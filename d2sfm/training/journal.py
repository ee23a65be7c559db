"""Output of a run for people: tables of losses, lines of the log, and pictures."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from d2sfm.options.training import TrainingOptions
from d2sfm.plots.canvas import save_image
from d2sfm.plots.losses import draw_losses
from d2sfm.plots.training_pair import draw_training_pair
from d2sfm.training.checkpoints import RunState
from d2sfm.training.dataset import Batch
from d2sfm.training.loss_tables import LossRecord
from d2sfm.training.trainer import Sums, Trainer

logger = logging.getLogger(__name__)


class Journal(AbstractContextManager):
    """Writes into the output folder in the leading process, and does nothing in the others.

    resume_step: the step of the checkpoint from which a run continues; None starts again.
    """

    def __init__(self, output: Path, options: TrainingOptions, leads: bool, resume_step: int | None):
        self.output, self.options = output, options
        self.record = LossRecord(output, resume_step=resume_step) if leads else None

    def __exit__(self, *_) -> None:
        if self.record:
            self.record.close()

    def step(self, trainer: Trainer, state: RunState, batches: Sequence[Batch], sums: Sums, seconds: float) -> None:
        """Record a step of the optimiser; now and then also in the log, and as a picture of its first pair."""
        if not self.record:
            return
        self.record.step(
            step=state.step,
            epoch=state.epoch,
            loss=sums.mean_loss,
            pairs=sums.pairs,
            skipped=sums.skipped,
            learning_rate=self.options.lr,
            seconds=seconds,
        )
        if (state.step - 1) % self.options.log_interval == 0:
            losses = (
                f"loss {sums.mean_loss:.4f}, mean {state.sums.mean_loss:.4f}" if sums.pairs else "all pairs skipped"
            )
            logger.info("epoch %d, step %d: %s", state.epoch, state.step, losses)
            if self.options.plot:
                self._draw_pair(trainer, state.step, batches)

    def epoch(self, step: int, epoch: int, training: Sums, validation: Sums, seconds: float) -> None:
        """Note the end of an epoch, or of the validation before the first one (epoch 0), and draw the curve."""
        if not self.record:
            return
        self.record.epoch(
            step=step,
            epoch=epoch,
            training_loss=training.mean_loss if training.pairs else None,
            validation_loss=validation.mean_loss if validation.pairs else None,
            pairs=training.pairs,
            skipped=training.skipped,
            validation_pairs=validation.pairs,
            validation_skipped=validation.skipped,
            seconds=seconds,
        )
        losses = [
            f"{name} loss {sums.mean_loss:.4f}"
            for name, sums in (("training", training), ("validation", validation))
            if sums.pairs
        ]
        logger.info("epoch %d: %s", epoch, ", ".join(losses))
        self._draw_losses()

    def evaluation(self, step: int, epoch: int, name: str, figures: Mapping[str, float]) -> None:
        """Note the figures of an evaluation after an epoch."""
        if self.record:
            self.record.evaluation(epoch, step, name, figures)
            told = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items())
            logger.info("epoch %d, %s: %s", epoch, name, told)

    def _draw_pair(self, trainer: Trainer, step: int, batches: Sequence[Batch]) -> None:
        batch = next((batch for batch in batches if batch.names), None)
        if batch is None:
            return
        pairs, scores = len(batch.names), trainer.scores(batch).numpy()
        crops = batch.crops.numpy()
        folder = self.output / "pictures"
        folder.mkdir(exist_ok=True)
        picture = draw_training_pair(crops[0], crops[pairs], *batch.positions[0], scores[0], scores[pairs])
        save_image(folder / f"step_{step:07d}.png", picture)

    def _draw_losses(self) -> None:
        steps, epochs = self.record.steps(), self.record.epochs()
        in_epoch = max((row.step / row.epoch for row in epochs if row.epoch), default=1.0)
        curve = np.array([(row.step / in_epoch, row.loss) for row in steps if row.pairs]).reshape(-1, 2)
        training = [(row.epoch, row.training_loss) for row in epochs if row.training_loss is not None]
        validation = [(row.epoch, row.validation_loss) for row in epochs if row.validation_loss is not None]
        save_image(self.output / "losses.png", draw_losses(training, validation, curve))
