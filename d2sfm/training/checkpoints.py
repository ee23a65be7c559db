"""Checkpoints: weights in the published layout, which ``d2sfm extract --weights`` loads, and the state of a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from d2sfm.files import replacing
from d2sfm.network.weights.load import d2net_state, load_weights, unpickled
from d2sfm.training.trainer import Sums, Trainer

LAST, BEST = "last.pth", "best.pth"
_LONGEST_SHOWN = 200  # characters of an error


@dataclass
class RunState:
    """The progress of a run: what a checkpoint holds beside the network and the optimiser."""

    epoch: int = 1  # the one that is under way, counted from 1
    steps_in_epoch: int = 0  # those that are done
    step: int = 0  # steps since the start
    sums: Sums = field(default_factory=Sums)  # of the epoch under way
    seconds: float = 0.0  # of the epoch under way
    training_loss: float = float("nan")  # of the last whole epoch
    start_loss: float | None = None  # validation before the first epoch
    best_loss: float | None = None  # smallest validation loss so far, that of the start included
    best_epoch: int = 0  # where it was reached; 0 is the start


class Checkpoints:
    """The checkpoints of a run in its output folder, each written whole or not at all by the leading process.

    settings: must be the same when the run continues.
    """

    def __init__(self, folder: Path, trainer: Trainer, settings: Mapping[str, str]):
        self.folder, self.trainer, self.settings = folder, trainer, dict(settings)

    def save_weights(self, name: str) -> Path:
        """Write the weights alone to the file of this name; returns its path."""
        self._save(name, {})
        return self.folder / name

    def save_run(self, state: RunState) -> None:
        """Write everything that the run needs to continue."""
        training = {
            "optimiser": self.trainer.optimiser.state_dict(),
            "scaler": self.trainer.scaler.state_dict(),
            "state": asdict(state) | {"sums": list(state.sums)},
            "settings": self.settings,
        }
        self._save(LAST, {"training": training})

    def restore(self) -> RunState | None:
        """Bring the trainer to the last checkpoint; None if there is none.

        Raises ValueError if the file is not a checkpoint of a run, is damaged, or of a run with other settings.
        """
        path = self.folder / LAST
        if not path.exists():
            return None
        training = _training_in(path)
        found, wanted = {str(name): str(value) for name, value in training["settings"].items()}, self.settings
        for name in sorted(wanted | found):
            if found.get(name) != wanted.get(name):
                raise ValueError(
                    f"{path} is of a run with {name} {_shown(found.get(name))}, but this run has "
                    f"{_shown(wanted.get(name))}: give the same options, or another --output"
                )
        self.trainer.trunk.load_state_dict(load_weights(path, self.trainer.preprocessing))
        try:
            self.trainer.optimiser.load_state_dict(training["optimiser"])
            self.trainer.scaler.load_state_dict(training["scaler"])
            state = training["state"]
            state = RunState(**{**state, "sums": Sums(*state["sums"])})
        except Exception as error:  # what no run wrote fails in any way: report where
            raise ValueError(f"{path} is not a checkpoint of d2sfm train ({type(error).__name__})") from error
        averages = [each for of_tensor in self.trainer.optimiser.state.values() for each in of_tensor.values()]
        if not all(torch.as_tensor(each).isfinite().all() for each in averages):
            raise ValueError(f"{path}: the optimiser's averages are not finite")
        return state

    def _save(self, name: str, more: dict[str, Any]) -> None:
        if self.trainer.processes.leads:
            whole = BytesIO()  # of a disk that is full, PyTorch's own writer does not tell
            torch.save(_weights(self.trainer) | more, whole)
            with replacing(self.folder / name, sync=True) as stream:
                stream.write(whole.getbuffer())


def _shown(value: str | None) -> str:
    """A setting in a message, shortened: 117 names of scenes would hide the rest."""
    if value is None:
        return "none"
    names = value.split()
    return value if len(names) < 6 else f"{names[0]} ... {names[-1]} ({len(names)})"


def _training_in(path: Path) -> Mapping[str, Any]:
    """The state that ``save_run`` wrote beside the weights."""
    checkpoint = unpickled(path)
    training = checkpoint.get("training") if isinstance(checkpoint, Mapping) else None
    if not isinstance(training, Mapping) or not isinstance(training.get("settings"), Mapping):
        raise ValueError(f"{path} is not a checkpoint of d2sfm train")
    return training


def _weights(trainer: Trainer) -> dict[str, Any]:
    """Weights for ``load_weights``: contiguous copies on the CPU, as the trunk's tensors have the channels last."""
    state = d2net_state(trainer.trunk.state_dict())
    model = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    return {"model": model, "preprocessing": str(trainer.preprocessing)}
