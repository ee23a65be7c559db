"""Steps of the optimiser, and the loss on pairs that are not trained on."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from d2sfm.features.detection import soft_scores
from d2sfm.network.input import normalise_batch
from d2sfm.options import Preprocessing
from d2sfm.options.training import TrainingOptions, TrainingPrecision
from d2sfm.training.dataset import Batch
from d2sfm.training.distributed import Processes
from d2sfm.training.loss import pair_loss
from d2sfm.training.training_trunk import TrainingTrunk


class Sums(NamedTuple):
    """Loss summed over used pairs, and the numbers of used and skipped ones."""

    loss: float = 0.0
    pairs: int = 0
    skipped: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def mean_loss(self) -> float:
        """Mean loss of a pair, NaN if all were skipped."""
        return self.loss / self.pairs if self.pairs else float("nan")


class Trainer:
    """The trunk, its optimiser, and their state.

    weights: of ``load_weights``; device: where it computes; processes: those that share each step.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        preprocessing: Preprocessing,
        options: TrainingOptions,
        device: torch.device,
        processes: Processes,
    ):
        self.preprocessing, self.device, self.processes = preprocessing, device, processes
        self.trunk = TrainingTrunk(weights).to(device)
        self._shared = DistributedDataParallel(self.trunk) if processes.count > 1 else None
        self.trained = list(self.trunk.conv4_3.parameters())
        self.optimiser = torch.optim.Adam(self.trained, lr=options.lr)
        self._low = {TrainingPrecision.BFLOAT16: torch.bfloat16, TrainingPrecision.FLOAT16: torch.float16}.get(
            options.precision
        )
        # Gradients are far below what float16 can hold.
        self.scaler = torch.amp.GradScaler(device.type, enabled=options.precision == TrainingPrecision.FLOAT16)

    def step(self, batches: Sequence[Batch]) -> Sums:
        """One step of the optimiser on all pairs of the batches, of every process; none if all were skipped.

        The gradient is the mean over the pairs that were not skipped: sums and counts are reduced over batches and
        processes, not means. Returns the sums over all processes. Raises RuntimeError if a loss or the gradient is not
        finite; the weights are then as they were before. In float16 a gradient that overflows is not an error: the step
        is skipped and the next one scaled down, until the scale falls below 1.
        """
        loss = 0.0
        for number, batch in enumerate(batches, start=1):
            is_last = number == len(batches)
            # Processes exchange gradients in the backward pass of the last batch, and only there.
            with nullcontext() if is_last or not self._shared else self._shared.no_sync():
                if batch.names:
                    losses = self.losses(batch, self._shared)
                    loss += losses.sum(dtype=torch.float64).item()
                    self.scaler.scale(losses.sum()).backward()
                elif is_last and self._shared:
                    self._take_part()
        counts = (sum(len(batch.names) for batch in batches), sum(len(batch.skipped) for batch in batches))
        total = self._everywhere(Sums(loss, *counts))
        if total.pairs:
            self.scaler.unscale_(self.optimiser)
            names = ", ".join(name for batch in batches for name in batch.names)
            self._scale_gradient(self.processes.count / total.pairs, names)
            self.scaler.step(self.optimiser)
            self.scaler.update()
            if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
                raise RuntimeError(f"the float16 gradient is not finite at any scale; last was the step with {names}")
        self.optimiser.zero_grad()
        return total

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> Sums:
        """The sums over all batches of all processes, with the weights as they are."""
        total = Sums()
        for batch in batches:
            loss = self.losses(batch).sum(dtype=torch.float64).item() if batch.names else 0.0
            total = total.plus(Sums(loss, len(batch.names), len(batch.skipped)))
        return self._everywhere(total)

    def losses(self, batch: Batch, model: torch.nn.Module | None = None) -> Tensor:
        """The loss of each pair of a batch that is not empty, [P]. RuntimeError if one is not finite."""
        features = self._features(batch.crops, model or self.trunk)
        scores, pairs = soft_scores(features), len(batch.names)
        of_pairs = (
            pair_loss(features[k], features[pairs + k], scores[k], scores[pairs + k], cells.to(self.device))
            for k, cells in enumerate(batch.cells)
        )
        losses = torch.stack(list(of_pairs))
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            raise RuntimeError(f"the loss of {batch.names[bad[0].item()]} is {losses[bad[0]].item()}")
        return losses

    @torch.no_grad()
    def scores(self, batch: Batch) -> Tensor:
        """Soft detection scores of a batch that is not empty, [2 P, S // 8, S // 8] on the CPU."""
        return soft_scores(self._features(batch.crops, self.trunk)).cpu()

    def _features(self, crops: Tensor, model: torch.nn.Module) -> Tensor:
        pictures = normalise_batch(crops.to(self.device, non_blocking=True), self.preprocessing)
        with torch.autocast(self.device.type, self._low, enabled=self._low is not None):
            return model(pictures).float()

    def _take_part(self) -> None:
        """A backward pass that adds nothing, as the other processes wait for this one's gradient.

        Its loss of 0 is scaled, too: without a loss the scaler could not unscale the others' gradient.
        """
        nothing = self._shared(torch.zeros(1, 3, 8, 8, device=self.device)).sum() * 0
        self.scaler.scale(nothing).backward()

    def _scale_gradient(self, factor: float, names: str) -> None:
        for parameter in self.trained:
            parameter.grad *= factor
            # With scaled gradients it is the scaler that notices, and passes over the step.
            if not self.scaler.is_enabled() and not parameter.grad.isfinite().all():
                raise RuntimeError(f"the gradient of the step with {names} is not finite")

    def _everywhere(self, sums: Sums) -> Sums:
        loss, pairs, skipped = self.processes.sum(list(sums), self.device)
        return Sums(loss, int(pairs), int(skipped))
