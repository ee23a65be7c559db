"""Checkpoints: weights in the published layout, which ``d2sfm extract --weights`` loads, and the state of a run."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from d2sfm.files import replacing
from d2sfm.network.weights.load import D2NET_PREFIX, LAYER_INDEX, d2net_state
from d2sfm.training.trainer import Sums, Trainer

LAST, BEST = "last.pth", "best.pth"


@dataclass
class RunState:
    """Where a run is: what a checkpoint holds beside the network and the optimiser."""

    epoch: int = 1  # the one that is under way, counted from 1
    steps_in_epoch: int = 0  # those that are done
    step: int = 0  # steps since the start
    sums: Sums = field(default_factory=Sums)  # of the epoch under way
    seconds: float = 0.0  # of the epoch under way
    training_loss: float = float("nan")  # of the last whole epoch
    start_loss: float | None = None  # validation before the first epoch
    best_loss: float | None = None  # smallest validation loss so far, that of the start included
    best_epoch: int = 0  # where it was reached; 0 is the start


def save_weights(path: Path, trainer: Trainer) -> None:
    """Write the weights alone, atomically."""
    _save(path, _weights(trainer))


def save_run(path: Path, trainer: Trainer, state: RunState, settings: dict[str, Any]) -> None:
    """Write all that a run needs to go on, atomically. settings: what must be the same when it does."""
    training = {
        "optimiser": trainer.optimiser.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "state": asdict(state) | {"sums": list(state.sums)},
        "settings": settings,
    }
    _save(path, _weights(trainer) | {"training": training})


def restore_run(path: Path, trainer: Trainer, settings: dict[str, Any]) -> RunState:
    """Put a trainer where a checkpoint left it.

    Raises ValueError where the file is no checkpoint of a run, or one with other settings.
    """
    training = read_run(path)
    found = training["settings"]
    for name in sorted(settings | found):
        if found.get(name) != settings.get(name):
            raise ValueError(
                f"{path} is of a run with {name} {_shown(found.get(name))}, this one has {_shown(settings.get(name))}: "
                "give the same options, or another --output"
            )
    trainer.trunk.load_state_dict(training["weights"])
    trainer.optimiser.load_state_dict(training["optimiser"])
    trainer.scaler.load_state_dict(training["scaler"])
    state = training["state"]
    return RunState(**{**state, "sums": Sums(*state["sums"])})


def _shown(value: str | None) -> str:
    """A setting in a message: 117 names of scenes would hide what is said."""
    if value is None:
        return "none"
    names = value.split()
    return value if len(names) < 6 else f"{names[0]} ... {names[-1]} ({len(names)})"


def read_run(path: Path) -> dict[str, Any]:
    """What ``save_run`` wrote, with the weights as ``weights``, under the trunk's names."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        weights = {
            f"{name}.{kind}": checkpoint["model"][f"{D2NET_PREFIX}{index}.{kind}"]
            for name, index in LAYER_INDEX.items()
            for kind in ("weight", "bias")
        }
        return checkpoint["training"] | {"weights": weights}
    except Exception as error:  # a damaged file makes the unpickler fail in any way: report what and where
        raise ValueError(f"{path} is no checkpoint of a training run ({type(error).__name__})") from error


def _weights(trainer: Trainer) -> dict[str, Any]:
    """What ``load_weights`` reads. Contiguous copies on the CPU: the trunk's own tensors have the channels last."""
    state = d2net_state(trainer.trunk.state_dict())
    model = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    return {"model": model, "preprocessing": str(trainer.preprocessing)}


def _save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path, sync=True) as stream:
        torch.save(content, stream)
