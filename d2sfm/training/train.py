"""A training run from start to end: inputs are read and checked, then the epochs run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from d2sfm.files import replacing
from d2sfm.network.device import resolve_device
from d2sfm.network.weights.load import digest, load_weights
from d2sfm.notebook import Displayed
from d2sfm.options import PairOptions, Preprocessing, TrainingOptions
from d2sfm.text import counted
from d2sfm.training.checkpoints import BEST, LAST, Checkpoints, RunState
from d2sfm.training.distributed import Processes, joined_processes
from d2sfm.training.epochs import Epochs, Evaluation
from d2sfm.training.journal import Journal
from d2sfm.training.scenes import Scenes, load_scenes
from d2sfm.training.skips import SkipReport
from d2sfm.training.trainer import Trainer

BROKEN = "broken_files.txt"


@dataclass(frozen=True)
class TrainingSummary(Displayed):
    """The results of a run, as text for users."""

    output: Path
    preprocessing: Preprocessing  # that the weights now belong to
    epochs: int
    training_loss: float  # of the last epoch
    start_loss: float | None  # on the validation pairs, None without validation
    best_loss: float | None
    best_epoch: int  # 0 where no epoch was better than the start
    skips: SkipReport  # of this call, in training
    validation_skips: SkipReport  # of one validation
    broken: list[str]  # what is wrong with each file that could not be read, in this call
    left_out: dict[str, str]  # scenes, with the reason

    @property
    def is_whole(self) -> bool:
        """Whether all scenes and files could be used."""
        return not self.broken and not self.left_out

    def __str__(self) -> str:
        lines = [f"{counted(self.epochs, 'epoch')}, training loss {self.training_loss:.4f} in the last"]
        if self.best_epoch:
            lines.append(
                f"validation loss {self.best_loss:.4f} after epoch {self.best_epoch}, {self.start_loss:.4f} before"
            )
        elif self.start_loss is not None:
            lines.append(f"the validation loss was never below the {self.start_loss:.4f} of the start: no {BEST}")
        for name, skips in (("pairs", self.skips), ("validation pairs", self.validation_skips)):
            if skips.reasons:
                lines.append(f"{name} skipped: {skips}")
        if self.broken:
            lines.append(f"broken files: {len(self.broken)}, listed in {self.output / BROKEN}")
        weights = self.output / (BEST if self.best_epoch else LAST)
        preprocessing = "" if self.preprocessing == Preprocessing.CAFFE else f" --preprocessing {self.preprocessing}"
        return "\n".join([*lines, f"use them with: d2sfm extract --weights {weights}{preprocessing}"])


def train(
    dataset_path: Path | str,
    scene_info_path: Path | str,
    output: Path | str,
    *,
    train_scenes: Sequence[str],
    valid_scenes: Sequence[str] = (),
    pairs: PairOptions | None = None,
    options: TrainingOptions | None = None,
    resume: bool = False,
    progress: bool = False,
    evaluations: Mapping[str, Evaluation] | None = None,
) -> TrainingSummary:
    """Tune conv4_3 on pairs of photographs of the scenes (paper, sections 3.3 and 4.1).

    dataset_path: root that the scenes' photographs and depth maps are relative to; scene_info_path: folder with a
    ``<scene>.npz`` for each; output: folder for checkpoints, ``steps.csv``, ``epochs.csv``, ``losses.png``, pictures,
    and a list of broken files; valid_scenes are used if the options ask for validation; resume: continue from the last
    checkpoint in the output, or start if it has none; evaluations: by name, functions that give figures for the weights
    in a file, called after each epoch and recorded in ``evaluations.csv``. Under ``torchrun`` every process calls this,
    and the first one evaluates and writes.

    Raises FileNotFoundError for missing folders or weights; ValueError for options that contradict each other or the
    checkpoint, an output that holds another run or what is left of one, and if no pair can be drawn; RuntimeError if
    all pairs of an epoch are skipped, or a loss is not finite.
    """
    pairs, options, output = pairs or PairOptions(), options or TrainingOptions(), Path(output)
    _claim(output, resume)
    with joined_processes(options.device) as (processes, device_name):
        device = resolve_device(device_name)
        if device.index is not None:
            torch.cuda.set_device(device)  # what pins memory works for the current one
        weights = load_weights(options.weights, pairs.preprocessing, options.mirror)
        show = progress and processes.leads
        named = partial(load_scenes, Path(scene_info_path), root=Path(dataset_path), options=pairs, progress=show)
        scenes, validation = named(train_scenes), named(valid_scenes) if options.use_validation else None
        trainer = Trainer(weights, pairs.preprocessing, options, device, processes)
        settings = _settings(digest(weights), scenes, validation, options, processes)
        checkpoints = Checkpoints(output, trainer, settings)
        state = _restored(checkpoints, processes) if resume else None
        with Journal(output, options, processes.leads, resume_step=state.step if state else None) as journal:
            epochs = Epochs(scenes, validation, options, checkpoints, journal, show, evaluations or {})
            epochs.run(state)
        summary = _summary(output, epochs)
        if processes.leads and summary.broken:
            with replacing(output / BROKEN) as stream:
                stream.write("".join(f"{reason}\n" for reason in summary.broken).encode())
    return summary


def _claim(output: Path, resume: bool) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output must be a folder, found the file {output}")
    if not resume and (output / LAST).exists():
        raise ValueError(f"{output} holds a training run: continue it with --resume, or give another --output")
    epochs = sorted(output.glob("epoch_*.pth"), key=lambda path: (len(path.name), path.name))
    left = epochs or [path for path in (output / BEST,) if path.exists()]
    if left and not (output / LAST).exists():
        raise ValueError(
            f"{output} holds {left[-1].name} of a training run, but no {LAST} to continue from: start from --weights "
            f"{left[-1]} with another --output"
        )
    output.mkdir(parents=True, exist_ok=True)


def _restored(checkpoints: Checkpoints, processes: Processes) -> RunState | None:
    state = checkpoints.restore()
    if len(set(processes.gather(state.step if state else None))) > 1:
        raise RuntimeError(
            f"processes find different checkpoints in {checkpoints.folder}: all machines must share one folder"
        )
    return state


def _summary(output: Path, epochs: Epochs) -> TrainingSummary:
    end, validation = epochs.state, epochs.validation
    return TrainingSummary(
        output=output,
        preprocessing=epochs.scenes.options.preprocessing,
        epochs=end.epoch - 1,
        training_loss=end.training_loss,
        start_loss=end.start_loss,
        best_loss=end.best_loss,
        best_epoch=end.best_epoch,
        skips=epochs.skips,
        validation_skips=epochs.validation_skips,
        broken=list(epochs.skips.broken | epochs.validation_skips.broken),
        left_out=epochs.scenes.left_out | (validation.left_out if validation else {}),
    )


def _settings(
    weights: str, scenes: Scenes, validation: Scenes | None, options: TrainingOptions, processes: Processes
) -> dict[str, str]:
    """What decides the numbers of a run and must not change when it continues, as text for messages."""
    names = {"training scenes": scenes, **({"validation scenes": validation} if validation else {})}
    return {
        **{key: " ".join(scene.path.stem for scene in each.usable) for key, each in names.items()},
        **{key: str(value) for key, value in asdict(scenes.options).items()},
        **{key: str(getattr(options, key)) for key in ("lr", "precision", "seed", "validation_pairs_per_scene")},
        "weights": weights,
        "pairs in a step": str(options.batch_size * options.accumulate * processes.count),
    }
