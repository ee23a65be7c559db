"""The folder of a georeferenced model, written whole or not at all."""

import logging
import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import placed_images
from d2sfm.georeference.frames import Frame, Metric
from d2sfm.georeference.result import GeoreferenceResult
from d2sfm.georeference.writers import GEOJSON, GIVEN, KML, POINTS, TRANSFORM, write_cloud, write_maps, write_transform
from d2sfm.models import MODEL_FILES, write_model
from d2sfm.options import Cloud
from d2sfm.parts import finish_putting, part_of, put_in_place, sync
from d2sfm.text import first_of

OURS = (*(f"{name}.bin" for name in MODEL_FILES), TRANSFORM, GEOJSON, KML, f"{POINTS}.las", f"{POINTS}.laz")
_IN_OUTPUT = "georeferenced"  # in the names of hidden folders

logger = logging.getLogger(__name__)


def require_output(output: Path, model: Path) -> None:
    """Raise ValueError for a folder that is the model's or holds other things, RuntimeError if it is read-only."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder")
    if output.is_dir() and model.is_dir() and output.samefile(model):
        raise ValueError(f"{output} is the input model: give another --output")
    if output.is_dir():
        finish_putting(output, _there(output), _IN_OUTPUT)
        ours = OURS if (output / TRANSFORM).exists() else ()  # COLMAP's files alone are of another model
        others = sorted(path.name for path in output.iterdir() if path.name not in ours and path.name[0] != ".")
        if others:
            raise ValueError(
                f"{output} holds {others[0]}, which d2sfm georeference did not write: give another --output"
            )
        if not os.access(output, os.W_OK):
            raise RuntimeError(f"{output} can't be written: it is read-only")


def write_output(
    output: Path,
    model: pycolmap.Reconstruction,
    digest: str,
    similarity: pycolmap.Sim3d,
    frame: Frame | None,
    result: GeoreferenceResult,
    cloud: Cloud,
) -> None:
    """Write the model, its transform, maps and cloud; they replace those of an earlier run.

    digest: of the given model, by which the report knows whether the result is of the model that it shows.
    RuntimeError if the disk is full or fails; then nothing has changed.
    """
    output.mkdir(parents=True, exist_ok=True)
    offset = np.array(result.offset)
    told = {GIVEN: digest} | {field.name: getattr(result, field.name) for field in fields(result)}
    rest = {name: told[name] for name in (GIVEN, "source", "up_by", "residuals_m", "left_out_m", "scale_bars_m")}
    described = frame.described() if frame else {"kind": "none", "axes": result.frame}
    with part_of(output / _IN_OUTPUT) as part:
        part.mkdir()
        write_model(model, part, called=output)
        write_transform(part / TRANSFORM, similarity, described, offset, rest)
        if frame and frame.to_geographic:
            write_maps(part, _places(model, frame, offset), {**result.residuals_m, **result.left_out_m})
        if cloud is not Cloud.NONE:
            write_cloud(part, cloud, model, frame or Metric(), offset)
        for path in (*part.iterdir(), part):
            sync(path)
        put_in_place(part, _there(output), _IN_OUTPUT)


def _there(output: Path) -> list[Path]:
    return [output / name for name in OURS if (output / name).exists()]


def _places(model: pycolmap.Reconstruction, frame: Frame, offset: np.ndarray) -> dict[str, np.ndarray]:
    """Latitude, longitude and altitude of all cameras with a pose, by name.

    A camera that false matches have put beyond what the frame covers has none, with a warning.
    """
    images = placed_images(model)
    centres = np.array([image.projection_center() for image in images]) + offset
    places = dict(zip((image.name for image in images), frame.to_geographic(centres), strict=True))
    found = {name: place for name, place in places.items() if np.isfinite(place).all()}
    if outside := sorted(places.keys() - found.keys()):
        logger.warning("not on the maps, as they lie outside of %s: %s", frame, first_of(outside, "image"))
    return found
