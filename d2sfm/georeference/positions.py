"""Positions of photographs from a database, the photographs themselves or a table."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pycolmap

from d2sfm.database import MatchStore, create_database, import_photographs
from d2sfm.georeference.tables import Row, read_table
from d2sfm.parts import scratch_folder
from d2sfm.text import first_of

GEOGRAPHIC = {
    "latitude": ("lat",),
    "longitude": ("lon", "lng", "long"),
    "altitude": ("alt", "height", "elevation", "ele", "z"),
}
METRIC = {"x": ("easting", "east", "e"), "y": ("northing", "north", "n"), "z": ("height", "elevation", "altitude")}
NAME = {"name": ("image", "image name", "file", "filename", "file name", "photo", "label")}
WGS84 = pycolmap.PosePriorCoordinateSystem.WGS84

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Positions:
    """Positions [3] float64 by name: latitude and longitude in degrees (WGS 84) and altitude, or x, y, z; in metres.

    An unknown altitude is NaN. For messages, source: their origin; of_what: whose positions they are.
    """

    by_name: Mapping[str, np.ndarray]
    is_geographic: bool
    source: str
    of_what: str = "images of the model"

    def of(self, names: Iterable[str]) -> "Positions":
        """Positions of images of a model, by the model's names: equal names, or unique equal base names.

        Raises RuntimeError if there are none.
        """
        names = list(names)
        meant = images_meant(self.by_name, names)
        found = {meant[name]: position for name, position in self.by_name.items() if name in meant}
        if self.by_name and not found:
            raise RuntimeError(
                f"{self.source} has positions of {first_of(list(self.by_name), 'name')}, but the model has no such "
                f"image (it has {names[0]})"
            )
        return replace(self, by_name=found)


def images_meant(given: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """The images of a model by the given names: equal names, or equal base names that are unique on both sides."""
    given, names = set(given), set(names)
    bases = Counter(PurePosixPath(name).name for name in [*given, *names])
    by_base = {PurePosixPath(name).name: name for name in names - given}
    found = {name: name for name in given & names}
    for name in given - names:
        base = PurePosixPath(name).name
        if base in by_base and bases[base] == 2:
            found[name] = by_base[base]
    return found


def of_database(database: Path) -> Positions:
    """Positions from the position priors of a database.

    Latitude and longitude 0 stand for a receiver without a fix. Raises RuntimeError if some are geographic and some are
    not, and as ``MatchStore``.
    """
    with MatchStore(database) as store:
        names, priors = store.image_names(), store.pose_priors()
    known = {id_: each for id_, each in priors.items() if np.isfinite(np.array(each.position, float).ravel()[:2]).all()}
    found = {id_: np.array(each.position, float).reshape(3) for id_, each in known.items()}
    geographic = [known[id_].coordinate_system == WGS84 for id_ in found]
    if any(geographic) and not all(geographic):
        raise RuntimeError(
            f"{database} has position priors of two kinds, {sum(geographic)} geographic and "
            f"{len(found) - sum(geographic)} not: expected one kind"
        )
    by_name = {names[id_]: each for id_, each in found.items() if not any(geographic) or each[:2].any()}
    return Positions(by_name, any(geographic), str(database))


def of_photographs(images: Path, names: Iterable[str]) -> Positions:
    """Positions from EXIF of photographs below a folder, as COLMAP reads them. names: relative to the folder."""
    names = set(names)
    there = {name for name in names if (Path(images) / name).is_file()}
    with scratch_folder() as folder:
        create_database(folder / "exif.db")
        unread = import_photographs(folder / "exif.db", Path(images), sorted(there))
        found = of_database(folder / "exif.db")
    if missing := sorted((names - there) | set(unread)):
        logger.warning("without a position, not in %s or unreadable: %s", images, first_of(missing, "photograph"))
    return replace(found, source=str(images))


def of_table(path: Path) -> Positions:
    """Positions from a CSV file with names of columns in its first line: see ``GEOGRAPHIC``, ``METRIC`` and ``NAME``.

    Lines without coordinates are ignored. Raises FileNotFoundError, and ValueError for another layout.
    """
    known = {**NAME, **GEOGRAPHIC, **METRIC}
    rows = list(read_table(path, known, ("name", "latitude", "longitude"), ("name", "x", "y", "z")))
    by_name, is_geographic = {}, bool(rows) and "latitude" in rows[0].cells
    for row in rows:
        position, name = coordinates(row, is_geographic), row.cells["name"]
        if not name or position is None:
            continue
        if name in by_name and not np.array_equal(by_name[name], position, equal_nan=True):
            raise ValueError(f"{row.place}: {name} had another position before: delete one of them")
        by_name[name] = position
    if not by_name:
        raise ValueError(f"{path} has no position")
    return Positions(by_name, is_geographic, str(path))


def coordinates(row: Row, is_geographic: bool, metric: tuple[str, str, str] = ("x", "y", "z")) -> np.ndarray | None:
    """The position in a line of a table, [3] float64; None if it is empty. ValueError for impossible values."""
    position = np.array([row.number(name) for name in (tuple(GEOGRAPHIC) if is_geographic else metric)])
    if np.isnan(position[: 2 if is_geographic else 3]).any():
        if not np.isnan(position).all():
            raise ValueError(f"{row.place}: expected all coordinates or none, found some")
        return None
    latitude, longitude, _ = position
    if is_geographic and abs(latitude) > 90:
        hint = ": latitude and longitude look exchanged" if abs(longitude) <= 90 else ""
        raise ValueError(f"{row.place}: latitude is {latitude:g}, expected -90 to 90{hint}")
    if is_geographic and abs(longitude) > 180:
        raise ValueError(f"{row.place}: longitude is {longitude:g}, expected -180 to 180")
    return position
