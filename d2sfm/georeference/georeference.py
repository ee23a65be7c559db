"""A model of any program brought into metres, upright and to its place.

d2sfm georeference sparse/0
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import model_digest, placed_images, read_model
from d2sfm.database.file import beside
from d2sfm.georeference.alignment import BY_CAMERAS, LEAST, Alignment, align
from d2sfm.georeference.checks import Located, check_found, check_positions, warn_of_frame, warn_of_scale
from d2sfm.georeference.control_points import clicks_of, in_world, scale_by, triangulated
from d2sfm.georeference.down import AGREEING, Down, mean_down, orientations, upright_rotation
from d2sfm.georeference.frames import Frame, Projected, chosen_frame, offset_of
from d2sfm.georeference.output import require_output, write_output
from d2sfm.georeference.positions import Positions, of_database, of_photographs, of_table
from d2sfm.georeference.result import GeoreferenceResult
from d2sfm.georeference.writers import require_cloud
from d2sfm.options import GeoreferenceOptions
from d2sfm.preparation.extras import require
from d2sfm.text import first_of

MAX_ERROR_M, MAX_CLICK_ERROR_M = 10.0, 1.0
DATABASE = Path("db.db")

logger = logging.getLogger(__name__)

ScaleBar = tuple[str, str, float]  # two points of the table of control points, and metres between them


class _Inputs(NamedTuple):
    """Data to align a model. points: [3] in the model, by the names of positions; turned: EXIF orientations."""

    positions: Positions | None
    points: dict[str, np.ndarray]
    down: Down
    scale: float | None
    bars_m: dict[str, float]
    max_error_m: float


class _Placed(NamedTuple):
    """The used positions, in the frame less its offset, and the results."""

    frame: Frame
    offset: np.ndarray
    alignment: Alignment
    residuals_m: dict[str, float]
    left_out_m: dict[str, float]


def require_libraries(options: GeoreferenceOptions) -> None:
    """ValueError if a library that these options need is missing, or for an unknown EPSG code."""
    require_cloud(options.cloud)
    if options.epsg is not None:
        Projected(options.epsg)
    elif options.utm:
        require("pyproj", "geo")


def georeference_model(
    model: Path | str,
    output: Path | str,
    *,
    database: Path | str | None = None,
    images: Path | str | None = None,
    positions: Path | str | None = None,
    control_points: Path | str | None = None,
    upright: bool = False,
    scale_bars: Sequence[ScaleBar] = (),
    options: GeoreferenceOptions | None = None,
) -> GeoreferenceResult:
    """Bring a COLMAP model into metres, upright and to its place, and write it to ``output`` with all that is known.

    Positions come from the first given source: control_points, a table of clicks (upright: in pictures as viewers show
    them) with at least three points that have a place in the world; positions, a table; the database; the EXIF data of
    the photographs in images. scale_bars: lengths between points of control_points, which always decide the scale.
    Without a source, the database is db.db, beside the model or here (``database.file.beside``); ``up`` and ``nadir``
    work without it, too, and scale bars alone.

    output: gets the model's files, ``georeference.json``, cameras.geojson and cameras.kml where the place on Earth is
    known, and points.las or .laz. Raises FileNotFoundError and ValueError for inputs that are missing or wrong,
    RuntimeError if there is no position, too few agree, or they contradict each other.
    """
    options = options or GeoreferenceOptions()
    model, output = Path(model), Path(output)
    require_output(output, model)
    require_libraries(options)
    if upright and control_points is None:
        raise ValueError("--upright is for clicks: give --control-points")
    if scale_bars and control_points is None:
        raise ValueError("--scale-bar needs clicks of its two points: give --control-points")
    given = any(each is not None for each in (database, images, positions, control_points))
    if not given:
        database = beside(model, DATABASE) or (None if options.up or options.nadir else DATABASE)
    digest, found = model_digest(model), read_model(model)
    if not placed_images(found):
        raise RuntimeError(f"{model} has no image with a pose")
    inputs = _inputs(found, database, images, positions, control_points, upright, scale_bars, options)
    if inputs.positions is None:
        if options.utm or options.epsg is not None:
            raise RuntimeError(
                "--utm and --epsg need positions in the world, and there are none: give --positions, --images or "
                "--control-points, or leave the frame out"
            )
        placed = None
        similarity = _without_positions(inputs, options)
    else:
        placed = _placed(inputs, options)
        similarity = placed.alignment.world_from_model
    found.transform(similarity)
    result = _result(output, inputs, placed, similarity, found)
    write_output(output, found, digest, similarity, placed and placed.frame, result, options.cloud)
    return result


def _inputs(
    model: pycolmap.Reconstruction,
    database: Path | str | None,
    images: Path | str | None,
    table: Path | str | None,
    control_points: Path | str | None,
    upright: bool,
    scale_bars: Sequence[ScaleBar],
    options: GeoreferenceOptions,
) -> _Inputs:
    registered = placed_images(model)
    sizes = {image.name: (image.camera.width, image.camera.height) for image in registered}
    turned = orientations(sizes, database and Path(database), images and Path(images))
    down = mean_down(registered, turned, options.nadir)
    scale, bars_m, points = None, {}, {image.name: image.projection_center() for image in registered}
    clicks = None if control_points is None else clicks_of(Path(control_points), model, turned if upright else None)
    places = {} if clicks is None else triangulated(clicks, model)
    if scale_bars:
        scale, bars_m = scale_by(scale_bars, places)
    if clicks is not None and clicks.world is not None:
        world = in_world(clicks.world, places)
        return _Inputs(world, places, down, scale, bars_m, options.max_error_m or MAX_CLICK_ERROR_M)
    positions = _positions(list(sizes), database, images, table)
    is_enough = scale_bars or options.up or options.nadir
    if positions is None and not is_enough:
        raise ValueError(f"{control_points} has no point with a place in the world: add places, or give --scale-bar")
    if positions is not None and not positions.by_name and is_enough:
        logger.info("no positions in %s", positions.source)
        positions = None
    return _Inputs(positions, points, down, scale, bars_m, options.max_error_m or MAX_ERROR_M)


def _positions(
    names: list[str], database: Path | str | None, images: Path | str | None, table: Path | str | None
) -> Positions | None:
    """The positions of the first given source that has some; None without one."""
    if table is not None:
        return of_table(Path(table)).of(names)
    found = None if database is None else of_database(Path(database)).of(names)
    if images is None or (found is not None and found.by_name):
        return found
    return of_photographs(Path(images), names)


def _placed(inputs: _Inputs, options: GeoreferenceOptions) -> _Placed:
    positions = inputs.positions
    names = sorted(positions.by_name)
    given = np.array([positions.by_name[name] for name in names]).reshape(-1, 3)
    check_positions(names, given, positions, LEAST)
    given = _with_altitudes(given, positions)
    frame = chosen_frame(options, given, positions.is_geographic)
    world = frame.from_geographic(given) if positions.is_geographic else given
    if not (inside := np.isfinite(world).all(axis=1)).all():
        outside = [name for name, is_inside in zip(names, inside, strict=True) if not is_inside]
        logger.warning("left out, as they lie outside of %s: %s", frame, first_of(outside, "position"))
        names, given, world = [each for each in names if each not in outside], given[inside], world[inside]
        check_positions(names, given, positions, LEAST)
    offset = offset_of(world)
    points = np.array([inputs.points[name] for name in names])
    located = Located(names, points, given, world - offset, positions, frame, offset)
    decided = {"down": inputs.down, "is_up": options.up or options.nadir, "scale": inputs.scale}
    aligned_with = partial(align, points, max_error_m=inputs.max_error_m, seed=options.seed, **decided)
    aligned = aligned_with(located.world)
    check_found(aligned, aligned_with, located, inputs.down, inputs.max_error_m)
    if aligned.doubt:
        logger.warning(
            "positions lie nearly on a line, so how the scene is turned about it is %s: give --up if cameras were held "
            "upright, --nadir if they looked straight down",
            aligned.doubt,
        )
    off = located.off_m(aligned)
    if inputs.scale is None:
        warn_of_scale(aligned, points, off)
    if positions.is_geographic:
        warn_of_frame(frame, given)
    by_name = dict(zip(names, off.tolist(), strict=True))
    used = {name for name, is_used in zip(names, aligned.used, strict=True) if is_used}
    return _Placed(
        frame,
        offset,
        aligned,
        {name: metres for name, metres in by_name.items() if name in used},
        {name: metres for name, metres in by_name.items() if name not in used},
    )


def _with_altitudes(given: np.ndarray, positions: Positions) -> np.ndarray:
    """With altitudes for positions that lack one: the median of the others, or 0."""
    lacking = np.isnan(given[:, 2])
    if not lacking.any():
        return given
    altitude = 0.0 if lacking.all() else float(np.median(given[~lacking, 2]))
    names = [name for name, position in positions.by_name.items() if np.isnan(position[2])]
    logger.warning("no altitude, taken to be %g m: %s", altitude, first_of(names, "position"))
    return np.column_stack([given[:, :2], np.where(lacking, altitude, given[:, 2])])


def _without_positions(inputs: _Inputs, options: GeoreferenceOptions) -> pycolmap.Sim3d:
    rotation = np.eye(3)
    if options.up or options.nadir:
        rotation = upright_rotation(inputs.down.axis)
        if inputs.down.agreement < AGREEING:
            logger.warning(
                "the direction up is a guess, as cameras were held in different ways: look at the model before use"
            )
    return pycolmap.Sim3d(inputs.scale or 1.0, pycolmap.Rotation3d(rotation), np.zeros(3))


def _result(
    output: Path, inputs: _Inputs, placed: _Placed | None, similarity: pycolmap.Sim3d, model: pycolmap.Reconstruction
) -> GeoreferenceResult:
    is_turned = not np.array_equal(similarity.rotation.matrix(), np.eye(3))
    frame, offset = (placed.frame, placed.offset) if placed else (None, np.zeros(3))
    words = "units of its own" if inputs.scale is None else "metres"
    shown = str(frame) if frame else f"{words}, {'z up' if is_turned else 'turned as it was'}"
    known = {**placed.residuals_m, **placed.left_out_m} if placed else {}
    images = {image.name for image in placed_images(model)}
    return GeoreferenceResult(
        output=output,
        frame=shown,
        epsg=getattr(frame, "epsg", None),
        offset=tuple(offset.tolist()),
        scale=float(similarity.scale),
        source=inputs.positions.source if placed else None,
        up_by=placed.alignment.up_by if placed else BY_CAMERAS if is_turned else None,
        residuals_m=placed.residuals_m if placed else {},
        left_out_m=placed.left_out_m if placed else {},
        scale_bars_m=inputs.bars_m,
        without_position=len(images - known.keys()) if placed and images & known.keys() else 0,
    )
