"""The loop over epochs: steps, validation, and checkpoints of both."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from d2sfm.options.training import VALIDATION_SEED, TrainingOptions
from d2sfm.progress import Bar
from d2sfm.system import processors
from d2sfm.text import counted
from d2sfm.training.checkpoints import BEST, Checkpoints, RunState
from d2sfm.training.dataset import Batch, PairDataset
from d2sfm.training.draws import draw_epoch
from d2sfm.training.journal import Journal
from d2sfm.training.loader import load, steps_of
from d2sfm.training.scenes import Scenes
from d2sfm.training.skips import SkipReport
from d2sfm.training.trainer import Sums

logger = logging.getLogger(__name__)

MOST_WORKERS = 4  # as published


Evaluation = Callable[[Path], Mapping[str, float]]  # from the file of an epoch's weights to figures by name


class Epochs:
    """The loop over epochs of one process.

    evaluations: by name, functions that the leading process calls after each epoch.
    """

    def __init__(
        self,
        scenes: Scenes,
        validation: Scenes | None,
        options: TrainingOptions,
        checkpoints: Checkpoints,
        journal: Journal,
        progress: bool,
        evaluations: Mapping[str, Evaluation],
    ):
        self.scenes, self.validation, self.options = scenes, validation, options
        self.checkpoints, self.journal, self.progress = checkpoints, journal, progress
        self.evaluations = evaluations
        self.trainer, self.processes = checkpoints.trainer, checkpoints.trainer.processes
        self.dataset = PairDataset(scenes.root, scenes.usable, scenes.options)
        self.skips, self.validation_skips, self.state = SkipReport(), SkipReport(), RunState()
        self.told: set[str] = set()
        if validation:
            self.validation_dataset = PairDataset(validation.root, validation.usable, validation.options)
            count, limit = options.validation_pairs_per_scene, validation.options.max_scale_ratio
            self.validation_draws = draw_epoch(validation.usable, count, limit, VALIDATION_SEED, epoch=0)

    def run(self, state: RunState | None) -> None:
        """Continue from a checkpoint's state, or begin if it is None.

        Afterwards ``state`` is the final one, ``skips`` the pairs that all processes skipped in training, and
        ``validation_skips`` those of the last validation.
        """
        if state:
            self.state = state
            if state.epoch > self.options.num_epochs:
                logger.info("nothing to do: %s done", counted(self.options.num_epochs, "epoch"))
            else:
                logger.info("continuing in epoch %d, after %d of its steps", state.epoch, state.steps_in_epoch)
        elif self.validation:
            self._validate(0, Sums(), 0.0)
        while self.state.epoch <= self.options.num_epochs:
            self._train_epoch()
            self._end_epoch()
        self.skips, self.validation_skips = self._everywhere(self.skips), self._everywhere(self.validation_skips)

    def _train_epoch(self) -> None:
        state, options, pairs = self.state, self.options, self.scenes.options
        draws = draw_epoch(self.scenes.usable, pairs.pairs_per_scene, pairs.max_scale_ratio, options.seed, state.epoch)
        steps = steps_of(draws, options.batch_size, options.accumulate, self.processes)
        title = f"epoch {state.epoch} of {options.num_epochs}"
        bar = self._bar(title, len(steps), state.steps_in_epoch)
        begun, in_epoch = time.monotonic(), SkipReport(self.told)
        for batches in self._load(self.dataset, steps[state.steps_in_epoch :]):
            sums = self.trainer.step(batches)
            in_epoch.note(batches)
            state.step, state.steps_in_epoch = state.step + 1, state.steps_in_epoch + 1
            state.sums = state.sums.plus(sums)
            seconds, begun = time.monotonic() - begun, time.monotonic()
            state.seconds += seconds
            self.journal.step(self.trainer, state, batches, sums, seconds)
            if state.sums.pairs:
                bar.set_postfix(loss=f"{state.sums.mean_loss:.4f}", refresh=False)
            bar.update()
            if state.steps_in_epoch % options.checkpoint_interval == 0:
                self.checkpoints.save_run(state)
        bar.close()
        self.skips = SkipReport.together([self.skips, in_epoch])
        if not state.sums.pairs:
            reasons = self._everywhere(in_epoch)
            raise RuntimeError(f"no pair of epoch {state.epoch} is left, {state.sums.skipped} skipped: {reasons}")

    def _end_epoch(self) -> None:
        """Validate, keep the best weights, and advance the state: a checkpoint holds whole epochs or steps."""
        done = self.state
        self.state = replace(
            done, epoch=done.epoch + 1, steps_in_epoch=0, sums=Sums(), seconds=0.0, training_loss=done.sums.mean_loss
        )
        self.checkpoints.save_run(done)  # a run that is killed from here to the end has something to continue from
        weights = self.checkpoints.save_weights(f"epoch_{done.epoch:02d}.pth")
        if self.validation:
            self._validate(done.epoch, done.sums, done.seconds)
        else:
            self.journal.epoch(self.state.step, done.epoch, done.sums, Sums(), done.seconds)
        if self.processes.leads:
            for name, evaluation in self.evaluations.items():
                self.journal.evaluation(self.state.step, done.epoch, name, evaluation(weights))
        self.checkpoints.save_run(self.state)

    def _validate(self, epoch: int, training: Sums, seconds: float) -> None:
        steps = steps_of(self.validation_draws, self.options.batch_size, 1, self.processes)
        bar, state = self._bar("validation", len(steps), 0), self.state
        self.validation_skips = SkipReport(self.told)

        def batches() -> Iterator[Batch]:
            for (batch,) in self._load(self.validation_dataset, steps):
                self.validation_skips.note([batch])
                yield batch
                bar.update()

        sums = self.trainer.validate(batches())
        bar.close()
        if not sums.pairs:
            reasons = self._everywhere(self.validation_skips)
            raise RuntimeError(f"no validation pair is left, {sums.skipped} skipped: {reasons}")
        if epoch == 0:
            state.start_loss = state.best_loss = sums.mean_loss
        elif sums.mean_loss < state.best_loss:
            state.best_loss, state.best_epoch = sums.mean_loss, epoch
            self.checkpoints.save_weights(BEST)
        self.journal.epoch(state.step, epoch, training, sums, seconds)

    def _load(self, dataset: PairDataset, steps: list) -> Iterator[tuple[Batch, ...]]:
        workers = self.options.num_workers
        if workers is None:
            workers = max(1, min(MOST_WORKERS, processors() // self.processes.local_count))
        return load(dataset, steps, workers, pin_memory=self.trainer.device.type == "cuda")

    def _everywhere(self, report: SkipReport) -> SkipReport:
        return SkipReport.together(self.processes.gather(report))

    def _bar(self, title: str, total: int, done: int) -> Bar:
        return Bar(desc=title, total=total, initial=done, unit="step", disable=not self.progress, leave=False)
