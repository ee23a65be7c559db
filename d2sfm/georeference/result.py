"""The results of georeferencing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.notebook import Displayed
from d2sfm.text import aligned, counted, printable

MOST_SHOWN = 30  # lines of single positions; georeference.json has all


@dataclass(frozen=True, kw_only=True)
class GeoreferenceResult(Displayed):
    """The place of a model, and the errors of its photographs or control points, in metres."""

    output: Path
    frame: str  # in words
    epsg: int | None
    offset: tuple[float, float, float]  # what the model's coordinates lack
    scale: float  # metres of a unit of the given model
    source: str | None  # of the positions
    up_by: str | None  # what decided what is up: positions or cameras; None if nothing did
    residuals_m: Mapping[str, float]  # of the positions that were used, by photograph or control point
    left_out_m: Mapping[str, float]  # of those that were not
    scale_bars_m: Mapping[str, float]  # how much longer each is in the model
    without_position: int  # images of the model

    @property
    def median_m(self) -> float:
        """Of the residuals."""
        return float(np.median(list(self.residuals_m.values()))) if self.residuals_m else float("nan")

    @property
    def largest_m(self) -> float:
        """Of the residuals."""
        return max(self.residuals_m.values(), default=float("nan"))

    def __str__(self) -> str:
        return "\n".join([*self._table(), self._sentence()])

    def _table(self) -> list[str]:
        off = sorted({**self.residuals_m, **self.left_out_m}.items(), key=lambda each: -each[1])
        rows = [(name, f"{metres:.2f} m", "left out" if name in self.left_out_m else "") for name, metres in off]
        rows += [(f"scale bar {name}", f"{metres:+.3f} m", "") for name, metres in self.scale_bars_m.items()]
        if not rows:
            return []
        more = len(rows) - MOST_SHOWN
        shown = aligned([("position", "off by", ""), *rows[:MOST_SHOWN]])
        return [shown] if more <= 0 else [shown, f"... {more} more, all in georeference.json"]

    def _sentence(self) -> str:
        text = f"georeference: {self.output} is in {self.frame}"
        if any(self.offset):
            text += f", less {' '.join(f'{each:.0f}' for each in self.offset)}"
        if not self.source:
            return text if self.scale == 1 else f"{text}, {self.scale:.6g} times as large as it was"
        count = len(self.residuals_m) + len(self.left_out_m)
        text += f": {len(self.residuals_m)} of {count} positions of {printable(self.source)} agree, off by "
        text += f"{self.median_m:.2f} m (median) to {self.largest_m:.2f} m (largest)"
        if self.left_out_m:
            text += f", {len(self.left_out_m)} left out"
        if self.without_position:
            text += f"; without a position: {counted(self.without_position, 'image')}"
        return f"{text}; what is up was decided by the cameras" if self.up_by == "cameras" else text
