"""The place of a model on Earth and its errors, as ``d2sfm georeference`` wrote them beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from d2sfm.georeference.writers import GIVEN
from d2sfm.text import one_line


@dataclass(frozen=True, kw_only=True)
class Place:
    """Of a model in metres."""

    frame: str  # in words; tells where on Earth
    is_on_earth: bool
    is_metric: bool  # else only what is up is known, or nothing
    axes: tuple[str, str]  # of x and y
    offset: tuple[float, float, float]  # what coordinates lack
    residuals_m: Mapping[str, float]  # by photograph or control point
    left_out_m: Mapping[str, float]
    scale_bars_m: Mapping[str, float]
    digest_of_given: str | None  # of the model before it was georeferenced; earlier versions did not note it


def read_place(path: Path) -> Place:
    """What a ``georeference.json`` says. RuntimeError if it is not one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        frame = told["frame"]
        axes = [each.strip() for each in str(frame["axes"]).split(",")]
        x, y, z = map(float, told["offset"])
        off = [
            {str(name): float(metres) for name, metres in told[key].items()}
            for key in ("residuals_m", "left_out_m", "scale_bars_m")
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RuntimeError(f"{path} is not what d2sfm georeference writes: {one_line(error, 80)}") from error
    has_axes = len(axes) == 3
    return Place(
        frame=_words(frame),
        is_metric=frame.get("kind") != "none" or bool(off[2]),
        is_on_earth=frame.get("kind") in ("local", "projected"),
        axes=(axes[0], axes[1]) if has_axes else ("x", "y"),
        offset=(x, y, z),
        residuals_m=off[0],
        left_out_m=off[1],
        scale_bars_m=off[2],
        digest_of_given=told.get(GIVEN),
    )


def _words(frame: dict) -> str:
    if frame.get("kind") == "local":
        return f"metres east, north and up of latitude {frame['latitude']:.6f}, longitude {frame['longitude']:.6f}"
    if frame.get("kind") == "projected":
        return f"EPSG:{frame['epsg']} ({frame['name']})"
    return str(frame["axes"])
