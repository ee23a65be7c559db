"""The models of a page, as they are on the disk, and what is drawn of each."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import model_digest, model_files, read_model
from d2sfm.georeference.writers import TRANSFORM
from d2sfm.mapping.model_files import numbered
from d2sfm.mapping.quality import ModelStatistics, statistics
from d2sfm.plots.cameras import level_axes
from d2sfm.report.georeferenced import Place, read_place
from d2sfm.report.history import CONFIG
from d2sfm.report.observations import Observations, observations

MODELS, GEOREFERENCED = "sparse", "georeferenced"  # folders of what d2sfm run writes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A model, with what is computed from it once."""

    label: str
    model: pycolmap.Reconstruction
    place: Place | None = None  # where it is on Earth
    observations: Observations = field(init=False)
    statistics: ModelStatistics = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "observations", observations(self.model))
        object.__setattr__(self, "statistics", statistics(self.model))

    @cached_property
    def images(self) -> Mapping[str, pycolmap.Image]:
        """Registered images by name."""
        return {self.model.images[each].name: self.model.images[each] for each in self.observations.image_ids}

    @cached_property
    def level(self) -> np.ndarray:
        """Right, ahead and up of the world, [3, 3] rows; a georeferenced model's own axes."""
        if self.place is not None:
            return np.eye(3)
        rotations = [image.cam_from_world().rotation.matrix() for image in self.images.values()]
        return level_axes(np.reshape(rotations, (-1, 3, 3)))

    @property
    def unit(self) -> str:
        """Of its coordinates: "m", or empty if the size of the scene is unknown."""
        return "m" if self.place is not None and self.place.is_metric else ""


def find_models(path: Path | None) -> dict[str, Path]:
    """Folders of models by their labels, the one to show first.

    path: a model, with the numbered ones of the same run beside it; a folder of numbered models; or the output of d2sfm
    run, whose georeferenced model comes first if it is of the first of these as that is now. None, or a folder of the
    last two kinds without models, if nothing was reconstructed. Raises FileNotFoundError if the folder is missing,
    ValueError if it is a file or a folder of other things.
    """
    if path is None:
        return {}
    if not path.exists():
        raise FileNotFoundError(f"no folder {path}: expected a COLMAP model, or a folder of numbered models")
    if not path.is_dir():
        raise ValueError(f"{path} is a file, expected the folder of a COLMAP model")
    if model_files(path):
        beside = _numbered(path.parent) if path.name.isdecimal() else {}
        return {path.resolve().name: path, **beside}
    found = _numbered(path) or _numbered(path / MODELS)
    placed = path / GEOREFERENCED
    if found and model_files(placed):
        first = next(iter(found.values()))
        if _is_of(placed, first):
            return {GEOREFERENCED: placed, **found}
        logger.warning("not shown: %s is not of %s as it is now: run d2sfm georeference again", placed, first)
    others = [each.name for each in path.iterdir() if not each.name.startswith(".")]
    if not found and others and not (path / CONFIG).exists():
        raise ValueError(f"{path} holds no COLMAP model: expected cameras, images and points3D, or folders 0, 1, ...")
    return found


def read_models(folders: Mapping[str, Path]) -> list[Model]:
    """The models of these folders, without later ones that have no image: a run leaves such where all photographs of a
    place are gone. Raises as ``read_model`` and ``read_place``, and RuntimeError if the first one has none."""
    found = []
    for label, folder in folders.items():
        place = read_place(folder / TRANSFORM) if (folder / TRANSFORM).exists() else None
        model = Model(label, read_model(folder), place)
        if model.images:
            found.append(model)
        elif not found:
            raise RuntimeError(f"{folder} has no image with a pose")
        else:
            logger.info("not shown: %s has no image with a pose", folder)
    return found


def _is_of(placed: Path, model: Path) -> bool:
    """Whether what was georeferenced is this very model. Raises as ``read_place``."""
    path = placed / TRANSFORM
    return path.exists() and read_place(path).digest_of_given == model_digest(model)


def _numbered(folder: Path) -> dict[str, Path]:
    return {each.name: each for each in numbered(folder) if model_files(each)}
