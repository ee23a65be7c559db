"""All facts of a page, gathered from models and their database before anything is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from d2sfm.report.cameras import Camera, pooled, read_cameras
from d2sfm.report.history import History, read_history
from d2sfm.report.lens import LensResiduals
from d2sfm.report.models import GEOREFERENCED, Model, read_models
from d2sfm.report.pairs import Joint, Pairs, weakest_joint
from d2sfm.report.photographs import Photograph, names_of_all, read_pairs, read_photographs
from d2sfm.report.reasons import causes, mapping_input, reasons

MUCH_PLACED = 0.95  # share of the photographs, below which causes are looked for


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known. Cameras and pooled residuals are by model, in the order of the models."""

    models: Sequence[Model]  # the first is what the page is about
    photographs: Sequence[Photograph]
    pairs: Pairs | None  # None without a database
    joint: Joint | None  # of all photographs that pairs join
    cameras: Sequence[list[Camera]]
    pooled: Sequence[LensResiduals | None]  # of all cameras of a model; None of one camera
    causes: tuple[str, ...]
    history: History

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Of photographs, by name."""
        return {photograph.name: row for row, photograph in enumerate(self.photographs)}

    @property
    def beside(self) -> Sequence[Model]:
        """The models beside the first, without the one that it is the georeferenced version of."""
        return self.models[2 if self.models[0].label == GEOREFERENCED else 1 :]

    @property
    def missing(self) -> list[Photograph]:
        """In no model."""
        return [photograph for photograph in self.photographs if photograph.model is None]

    @property
    def placed_share(self) -> float:
        """Of the photographs that are in the first model."""
        return self.models[0].statistics.images / len(self.photographs) if self.models else 0.0


def gather(folders: Mapping[str, Path], database: Path | None, *, locations: bool = True) -> Facts:
    """Read models (see ``find_models``) and the database. locations: see ``read_history``. Raises as the readers of
    both."""
    models = read_models(folders)
    names = names_of_all(database, models)
    rows = {name: row for row, name in enumerate(names)}
    first = models[0] if models else None
    pairs, why, found = None, {}, ()
    if database is not None:
        given = mapping_input(database)
        pairs = read_pairs(database, given, rows)
        why = reasons(database, given, first)
        if not first or first.statistics.images < MUCH_PLACED * len(names):  # it takes a second
            found = causes(given, models)
    photographs = read_photographs(names, database, pairs, models, why)
    cameras = [read_cameras(model, database) for model in models]
    return Facts(
        models=models,
        photographs=photographs,
        pairs=pairs,
        joint=weakest_joint(pairs) if pairs is not None else None,
        cameras=cameras,
        pooled=[pooled(model, each) if len(each) > 1 else None for model, each in zip(models, cameras, strict=True)],
        causes=found,
        history=read_history(database, locations=locations),
    )
