"""Frames of the world: metres east, north and up of a place, projected coordinates, or that of the positions.

Models are in a frame less its offset, so that coordinates stay small: many viewers count in 32 bits.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pycolmap

from d2sfm.options import GeoreferenceOptions
from d2sfm.preparation.extras import require

FAR_M = 10_000.0  # beyond, a part of the coordinates is kept apart
OFFSET_STEP_M = 1000.0
GROUND_SCALE = 0.01  # a frame whose metres are off by more than this share is warned of
ORIGIN_DIGITS = 6  # of degrees: a decimetre
_WGS84_3D = 4979
_HEIGHTS_LEFT = "ballpark vertical"  # PROJ's words for a conversion that leaves heights as they are
_EARTH = pycolmap.GPSTransform(pycolmap.GPSTransformEllipsoid.WGS84)


@dataclass(frozen=True)
class Local:
    """Metres east, north and up (z is the altitude) on the plane that touches the ellipsoid at a place, in degrees."""

    latitude: float
    longitude: float

    def from_geographic(self, positions: np.ndarray) -> np.ndarray:
        """Latitude, longitude in degrees, altitude in metres, [N, 3], to coordinates [N, 3] float64."""
        return _EARTH.ellipsoid_to_enu(positions, self.latitude, self.longitude, 0.0)

    def to_geographic(self, coordinates: np.ndarray) -> np.ndarray:
        """The inverse."""
        return _EARTH.enu_to_ellipsoid(coordinates, self.latitude, self.longitude, 0.0)

    def described(self) -> dict:
        """The description for ``georeference.json``."""
        return {"kind": "local", "axes": "east, north, up", "latitude": self.latitude, "longitude": self.longitude}

    def __str__(self) -> str:
        return f"metres east, north and up of latitude {self.latitude:.6f}, longitude {self.longitude:.6f}"


class Projected:
    """Easting, northing and height of an EPSG code.

    Raises ValueError if pyproj is missing, or for a code that is not of projected metres.
    """

    def __init__(self, epsg: int):
        pyproj = require("pyproj", "geo")
        try:
            self.crs = pyproj.CRS.from_epsg(epsg)
        except pyproj.exceptions.CRSError as error:
            raise ValueError(f"EPSG:{epsg} is not a coordinate reference system known to pyproj") from error
        axes = self.crs.axis_info
        if not self.crs.is_projected or any(axis.unit_conversion_factor != 1 for axis in axes):
            units = ", ".join(sorted({axis.unit_name for axis in axes})) or "none"
            raise ValueError(
                f"EPSG:{epsg} ({self.crs.name}) has units of {units}, expected metres of a projected system"
            )
        self.epsg = epsg
        self._transformer = pyproj.Transformer.from_crs(_WGS84_3D, self.crs, always_xy=True)

    def from_geographic(self, positions: np.ndarray) -> np.ndarray:
        """As ``Local``. Positions outside of the area of the code become infinite."""
        latitude, longitude, altitude = np.reshape(positions, (-1, 3)).T
        return np.stack(self._transformer.transform(longitude, latitude, altitude), axis=1)

    def to_geographic(self, coordinates: np.ndarray) -> np.ndarray:
        """The inverse."""
        east, north, height = np.reshape(coordinates, (-1, 3)).T
        longitude, latitude, altitude = self._transformer.transform(east, north, height, direction="INVERSE")
        return np.stack([latitude, longitude, altitude], axis=1)

    def shortcoming(self, positions: np.ndarray) -> str | None:
        """What pyproj does not convert in the middle of positions, [N, 3] geographic, in words with the cure."""
        transformer = require("pyproj", "geo").transformer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # which says less
            known = transformer.TransformerGroup(_WGS84_3D, self.crs, always_xy=True)
        self.from_geographic(np.array([[*middle(positions), 0.0]]))
        used = self._transformer.get_last_used_operation()
        grids = [] if known.best_available else known.unavailable_operations[0].grids
        lacking = ", ".join(grid.short_name for grid in grids if not grid.available)
        cure = "get it with pyproj sync --file NAME, or set PROJ_NETWORK=ON"
        if _HEIGHTS_LEFT in used.description:
            rest = f" without {lacking}: {cure}" if lacking else ": give another --epsg, or positions in that frame"
            return f"heights are left as they are, as pyproj cannot convert them{rest}"
        if not lacking:
            return None
        accuracy = f"{used.accuracy:g} m only" if used.accuracy >= 0 else "an unknown degree"
        return f"places are accurate to {accuracy}, as pyproj lacks {lacking}: {cure}"

    def described(self) -> dict:
        """As ``Local``."""
        return {"kind": "projected", "axes": "easting, northing, height", "epsg": self.epsg, "name": self.crs.name}

    def __str__(self) -> str:
        return f"EPSG:{self.epsg} ({self.crs.name})"


class Metric:
    """A frame in metres, z up, of which nothing more is known."""

    from_geographic = to_geographic = None

    def described(self) -> dict:
        """As ``Local``."""
        return {"kind": "metric", "axes": "x, y, z of the positions"}

    def __str__(self) -> str:
        return "the frame of the positions"


Frame = Local | Projected | Metric


def chosen_frame(options: GeoreferenceOptions, positions: np.ndarray, is_geographic: bool) -> Frame:
    """The frame of the options. positions: [N, 3], of which altitudes do not matter. ValueError if it is impossible."""
    if options.epsg is not None:
        return Projected(options.epsg)
    if not is_geographic:
        if options.utm:
            raise ValueError("--utm needs latitudes and longitudes: for x, y and z, give their frame with --epsg")
        return Metric()
    latitude, longitude = middle(positions)
    if not options.utm:
        return Local(latitude, longitude)
    if not -80 <= latitude <= 84:
        raise ValueError(f"UTM covers latitudes from -80 to 84, found {latitude:.6f}: give --epsg")
    return Projected((32600 if latitude >= 0 else 32700) + utm_zone(longitude))


def utm_zone(longitude: float) -> int:
    """1 to 60, six degrees each."""
    return int((longitude + 180) // 6) % 60 + 1


def middle(positions: np.ndarray) -> tuple[float, float]:
    """Rounded latitude and longitude in the middle of positions, [N, 3], robust against a few wrong ones."""
    on_ground = np.column_stack([positions[:, :2], np.zeros(len(positions))])
    centre = np.median(_EARTH.ellipsoid_to_ecef(on_ground), axis=0)
    latitude, longitude, _ = _EARTH.ecef_to_ellipsoid(centre[None])[0]
    return round(float(latitude), ORIGIN_DIGITS), round(float(longitude), ORIGIN_DIGITS)


def offset_of(coordinates: np.ndarray) -> np.ndarray:
    """The offset that is kept apart from coordinates, [N, 3]: round numbers, 0 for small ones. Returns [3] float64."""
    centre = np.median(coordinates, axis=0)
    return np.where(np.abs(centre) > FAR_M, np.floor(centre / OFFSET_STEP_M) * OFFSET_STEP_M, 0.0)


def ground_scale(frame: Frame, positions: np.ndarray) -> float:
    """Units of the frame per metre on the ground in the middle of positions, [N, 3] geographic."""
    place = Local(*middle(positions))
    there = frame.from_geographic(place.to_geographic(np.array([[0.0, 0, 0], [0, 100, 0]])))
    return float(np.linalg.norm(there[1, :2] - there[0, :2]) / 100)
