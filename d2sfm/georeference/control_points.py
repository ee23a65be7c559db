"""Points that people clicked in photographs: their positions in the model and in the world."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import posed_images
from d2sfm.coordinates import stored_from_upright
from d2sfm.georeference.positions import GEOGRAPHIC, NAME, Positions, coordinates, images_meant
from d2sfm.georeference.tables import Row, read_table
from d2sfm.text import first_of

POINT = {"point": ("point id", "id", "gcp", "marker", "point name")}
PIXEL = {"x": ("pixel x", "x px", "px", "u"), "y": ("pixel y", "y px", "py", "v")}
WORLD = {
    "easting": ("east", "e", "world x"),
    "northing": ("north", "n", "world y"),
    "height": ("altitude", "elevation", "world z", "up"),
}
NAMES = {"name": tuple(each for each in NAME["name"] if each != "label")}
CLICK_ERROR = 0.02  # of the focal length, that a click may be off the others of its point: 60 px of a phone's 12 MP
CLICK_SEED = 0

logger = logging.getLogger(__name__)


@dataclass
class Clicks:
    """What a table of control points holds.

    pixels: by point, then by name of image, [2] float64 as clicked. world: positions of the points that have one.
    """

    source: str
    pixels: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    world: Positions | None = None


def clicks_of(path: Path, model: pycolmap.Reconstruction, turned: Mapping[str, int] | None) -> Clicks:
    """The clicks of a table in images of a model, in pixels of the stored photographs.

    turned: EXIF orientation by name if pictures were upright for the clicks. Raises as ``read_clicks``, ``of_model``
    and ``stored_clicks``.
    """
    clicks = of_model(read_clicks(path), model)
    return clicks if turned is None else stored_clicks(clicks, model, turned)


def read_clicks(path: Path) -> Clicks:
    """Read a CSV file of the columns point, name, x, y, and latitude, longitude, altitude or easting, northing, height.

    A point's place in the world stands in one of its lines or in all; a line may be without a click. Raises
    FileNotFoundError, and ValueError for another layout.
    """
    columns = {**POINT, **NAMES, **PIXEL, **GEOGRAPHIC, **WORLD}
    rows = list(read_table(path, columns, ("point", "name", "x", "y")))
    is_geographic = bool(rows) and {"latitude", "longitude"} <= rows[0].cells.keys()
    has_world = is_geographic or (bool(rows) and set(WORLD) <= rows[0].cells.keys())
    clicks, world = Clicks(str(path)), {}
    for row in rows:
        _take_click(clicks, row)
        place = coordinates(row, is_geographic, tuple(WORLD)) if has_world else None
        point = row.cells["point"]
        if place is not None and point in world and not np.array_equal(world[point], place, equal_nan=True):
            raise ValueError(f"{row.place}: point {point} had another place before: delete one of them")
        if place is not None and np.isnan(place[2]):
            raise ValueError(f"{row.place}: point {point} has no altitude, which control points need")
        if place is not None:
            world[point] = place
    if not clicks.pixels:
        raise ValueError(f"{path} has no clicks: expected a point, a name and pixels x, y in each line")
    clicks.world = Positions(world, is_geographic, str(path)) if world else None
    return clicks


def _take_click(clicks: Clicks, row: Row) -> None:
    point, name, xy = row.cells["point"], row.cells["name"], np.array([row.number("x"), row.number("y")])
    if not point:
        raise ValueError(f"{row.place}: expected the id of a point, found none")
    if bool(name) == np.isnan(xy).any():
        raise ValueError(f"{row.place}: expected a name and pixels x, y, or all three empty")
    if not name:
        return
    if name in clicks.pixels.setdefault(point, {}):
        raise ValueError(f"{row.place}: point {point} was clicked in {name} before: delete one of the two clicks")
    clicks.pixels[point][name] = xy


def of_model(clicks: Clicks, model: pycolmap.Reconstruction) -> Clicks:
    """Those in images with a pose, by the model's names. RuntimeError if the model has none of these images."""
    names = [image.name for image in posed_images(model)]
    given = {name for of_point in clicks.pixels.values() for name in of_point}
    meant = images_meant(given, names)
    if not meant:
        raise RuntimeError(
            f"{clicks.source} has clicks in {first_of(sorted(given), 'name')}, but the model has no such image (it has "
            f"{min(names, default='none')})"
        )
    pixels = {
        point: {meant[name]: xy for name, xy in of_point.items() if name in meant}
        for point, of_point in clicks.pixels.items()
    }
    return Clicks(clicks.source, pixels, clicks.world)


def stored_clicks(clicks: Clicks, model: pycolmap.Reconstruction, turned: Mapping[str, int]) -> Clicks:
    """Clicks in upright pictures, converted to pixels of the stored ones. turned: EXIF orientation by name.

    Raises ValueError if that of a photograph is unknown.
    """
    sizes = {image.name: (image.camera.width, image.camera.height) for image in model.images.values()}
    if unknown := {name for of_point in clicks.pixels.values() for name in of_point} - turned.keys():
        raise ValueError(
            f"--upright needs the EXIF orientation of {first_of(sorted(unknown), 'photograph')}: give --images or "
            "--database"
        )
    pixels = {
        point: {name: stored_from_upright(xy[None], sizes[name], turned[name])[0] for name, xy in of_point.items()}
        for point, of_point in clicks.pixels.items()
    }
    return Clicks(clicks.source, pixels, clicks.world)


def triangulated(clicks: Clicks, model: pycolmap.Reconstruction) -> dict[str, np.ndarray]:
    """Positions of the points in the model, [3] float64 by id. Clicks far off the others, and points on which fewer
    than two photographs of the model agree, are left out with a warning."""
    images = {image.name: image for image in posed_images(model)}
    found, unseen = {}, []
    for point, of_point in clicks.pixels.items():
        place = _triangulated(point, [images[name] for name in of_point], np.array(list(of_point.values())))
        if place is None:
            unseen.append(point)
        else:
            found[point] = place
    if unseen:
        logger.warning("left out, as no two clicks in photographs of the model agree: %s", first_of(unseen, "point"))
    return found


def _triangulated(point: str, images: Sequence[pycolmap.Image], xy: np.ndarray) -> np.ndarray | None:
    if len(images) < 2:
        return None
    options = pycolmap.EstimateTriangulationOptions()
    options.ransac.random_seed, options.ransac.max_error = CLICK_SEED, CLICK_ERROR
    poses, cameras = [image.cam_from_world() for image in images], [image.camera for image in images]
    result = pycolmap.estimate_triangulation(xy, poses, cameras, options)
    if result is None:
        return None
    alike = np.flatnonzero(result["inliers"])
    if len(alike) < 2:
        return None
    if off := [images[index].name for index in set(range(len(images))) - set(alike.tolist())]:
        logger.warning("point %s: left out, far off the other clicks: %s", point, first_of(sorted(off), "click"))
    return _refined(np.asarray(result["xyz"], float).ravel(), [images[index] for index in alike], xy[alike])


def _refined(place: np.ndarray, images: Sequence[pycolmap.Image], xy: np.ndarray) -> np.ndarray:
    """The place whose projections are nearest to the clicks, by least squares of pixels."""
    from scipy.optimize import least_squares

    def off(each: np.ndarray) -> np.ndarray:
        seen = [image.project_point(each) for image in images]
        return np.concatenate([np.full(2, np.inf) if at is None else at for at in seen]) - xy.ravel()

    return (
        least_squares(off, place, x_scale=np.maximum(np.abs(place), 1e-9)).x if np.isfinite(off(place)).all() else place
    )


def in_world(world: Positions, places: Mapping[str, np.ndarray]) -> Positions:
    """Positions of the points that have a place in the model. RuntimeError if there are none."""
    known = {point: position for point, position in world.by_name.items() if point in places}
    if not known:
        raise RuntimeError(
            f"{world.source} has no point with a place in the world that two photographs of the model agree on"
        )
    return replace(world, by_name=known, of_what="points that photographs of the model agree on")


def scale_by(
    bars: Sequence[tuple[str, str, float]], places: Mapping[str, np.ndarray]
) -> tuple[float, dict[str, float]]:
    """The scale that turns distances between points of the model into metres, by least squares, and the error of each
    length, in metres by "A - B".

    Raises ValueError for a length that is not above 0, and for a point that is not in the model.
    """
    lengths, given = [], []
    for first, second, metres in bars:
        for point in (first, second):
            if point not in places:
                raise ValueError(
                    f"--scale-bar {first} {second}: no clicks of point {point} in the model, found those of "
                    f"{first_of(list(places), 'point') if places else 'none'}"
                )
        if not 0 < metres < np.inf:
            raise ValueError(f"--scale-bar {first} {second}: expected a length above 0 metres, found {metres:g}")
        lengths.append(float(np.linalg.norm(places[first] - places[second])))
        given.append(metres)
    if not np.dot(lengths, lengths) > 0:
        raise ValueError(f"--scale-bar {bars[0][0]} {bars[0][1]}: both ends are the same point")
    scale = float(np.dot(lengths, given) / np.dot(lengths, lengths))
    off = {f"{a} - {b}": scale * length - metres for (a, b, metres), length in zip(bars, lengths, strict=True)}
    return scale, off
