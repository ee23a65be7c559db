"""What the starts of mapping gave, and whose model is kept."""

from dataclasses import dataclass, field

import pycolmap

from d2sfm.mapping.quality import ModelStatistics, score, statistics

ROUNDING = 1e-3  # of the agreement, as a share: what equal models differ by, as their adjustments ended here or there
CAUTIOUS = "cautious"  # the way of a start


@dataclass(frozen=True, kw_only=True)
class Start:
    """One mapping run: its seed, the statistics of its best model (None without any), and its seconds.

    way: how it was made, "" for the pipeline's own; see ``one_run.Trial`` and ``one_run.with_distortion``.
    is_of_rest: whether only images were mapped that the best model lacks.
    initial: names of the images it was told to start with; empty if the pipeline chose them.
    """

    seed: int
    way: str = ""
    is_of_rest: bool = False
    initial: tuple[str, ...] = ()
    best: ModelStatistics | None
    dropped: ModelStatistics | None = None  # of the best one, where no image of any has support: that is no model
    seconds: float

    @property
    def is_cautious(self) -> bool:
        """Whether lens distortion was held, see ``one_run.Trial``."""
        return self.way == CAUTIOUS

    @property
    def label(self) -> str:
        """Seed, way, and first images."""
        rest = "of the rest" if self.is_of_rest else ""
        parts = (f"seed {self.seed}", rest, self.way, " and ".join(self.initial))
        return ", ".join(part for part in parts if part)


@dataclass(kw_only=True)
class Outcome:
    """All starts, the one that is kept, and its models, best first; the earliest of equals is kept."""

    pixel_factor: float = 1.0
    starts: list[Start] = field(default_factory=list)
    kept: Start | None = None
    models: list[pycolmap.Reconstruction] = field(default_factory=list)
    elsewhere: list[pycolmap.Reconstruction] = field(default_factory=list)  # of images that the models lack
    fruitless: int = 0  # the last starts that gave models, none of them better

    @property
    def found(self) -> int:
        """Starts that gave a model."""
        return sum(start.best is not None for start in self.starts)

    def add(self, start: Start, models: list[pycolmap.Reconstruction]) -> bool:
        """Enter a start with its models, best first. Returns whether it is now the one that is kept."""
        self.starts.append(start)
        before, found = self.kept and self.kept.best, models and score(start.best)
        is_better = bool(models) and (before is None or found > score(before))
        gains = is_better and (before is None or found[:2] > (before.supported, (1 + ROUNDING) * before.agreement))
        self.fruitless = 0 if gains else self.fruitless + bool(models)
        others = self.models if is_better else models
        if is_better:
            self.kept, self.models = start, models
        self.elsewhere += self._apart(others)
        return is_better

    def add_elsewhere(self) -> None:
        """Append models of images that the kept models lack."""
        self.models += self._apart(self.elsewhere)

    def _apart(self, others: list[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
        """The other models, best first, that share no image with an earlier one."""
        seen = {image_id for model in self.models for image_id in model.reg_image_ids()}
        apart = []
        for model in best_first(others, self.pixel_factor):
            image_ids = set(model.reg_image_ids())
            if not image_ids & seen:
                apart.append(model)
                seen |= image_ids
        return apart


def best_first(models: list[pycolmap.Reconstruction], pixel_factor: float) -> list[pycolmap.Reconstruction]:
    """The models in descending order of their scores."""
    return sorted(models, key=lambda model: score(statistics(model, pixel_factor)), reverse=True)
