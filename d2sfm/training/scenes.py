"""The scenes of a run: which of those asked for can be trained on."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from d2sfm.training.options import PairOptions
from d2sfm.training.pairs import TrainingScene, load_scene

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scenes:
    """Scenes with pairs to draw, and the reason for each that was left out, by its name."""

    usable: list[TrainingScene]
    left_out: dict[str, str]


def load_scenes(folder: Path, names: list[str], root: Path, options: PairOptions, progress: bool = False) -> Scenes:
    """Read the scene info ``folder/<name>.npz`` of each scene.

    root: the dataset that the scenes' photographs belong to. A scene that is missing, damaged, or has no pair within
    the options' limits is left out.

    Raises FileNotFoundError where a folder is missing, ValueError where no scene is left, and where scenes were made
    of another dataset than root.
    """
    for path, what in ((folder, "scene info"), (root, "dataset")):
        if not path.is_dir():
            raise FileNotFoundError(f"no folder {path} ({what})")
    usable, left_out = [], {}
    for name in tqdm(names, desc="scenes", unit="scene", disable=not progress, leave=False):
        try:
            scene = load_scene(folder / f"{name}.npz", options)
        except (FileNotFoundError, ValueError) as error:
            left_out[name] = str(error)
            continue
        if not len(scene.pairs):
            left_out[name] = f"no pair with an overlap of {options.min_overlap:g} to {options.max_overlap:g}" + (
                f" and a scale ratio up to {options.max_scale_ratio:g}"
                if options.max_scale_ratio < float("inf")
                else ""
            )
            continue
        _check_root(scene, root)
        usable.append(scene)
    if not usable:
        first = next(iter(left_out.items()), None)
        raise ValueError(
            f"no pair to draw from {len(names)} scenes in {folder}" + (f"; {first[0]}: {first[1]}" if first else "")
        )
    return Scenes(usable, left_out)


def _check_root(scene: TrainingScene, root: Path) -> None:
    """One photograph tells another dataset's root; files that are missing here and there are met when they are read."""
    path = scene.image_paths[scene.pairs[0, 0]]
    if not (root / path).is_file():
        raise ValueError(f"{scene.path} is of another dataset: it names {path}, which is not below {root}")
