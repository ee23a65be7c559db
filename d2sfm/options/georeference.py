"""Options of georeferencing."""

from dataclasses import dataclass

from d2sfm.options.choices import Cloud
from d2sfm.options.fields import Options, check_seed, option


@dataclass(frozen=True, kw_only=True)
class GeoreferenceOptions(Options):
    """In which frame, and how far positions may be off."""

    TITLE = "the frame, and how far positions may be off"

    max_error_m: float | None = option(
        None, metavar="M", help="positions that are further off are left out (default: 10, control points 1)"
    )
    utm: bool = option(False, help="UTM coordinates of the zone, in place of metres east, north and up of a place")
    epsg: int | None = option(
        None,
        help="projected coordinates of this EPSG code, to which latitudes and longitudes are brought, and in which "
        "other coordinates of files are taken to be (default: none)",
    )
    up: bool = option(
        False,
        help="cameras were held upright, their mean down axis is down; without it, that decides only where positions "
        "lie on a line",
    )
    nadir: bool = option(False, help="cameras looked straight down, their mean viewing direction is down")
    cloud: Cloud = option(Cloud.NONE, help="write the points as points.las or points.laz, too")
    seed: int = option(0, help="seed of RANSAC")

    def _check(self):
        self._require_above_zero("max_error_m")
        self._require_at_least(1, "epsg")
        check_seed(self.seed)
        if self.utm and self.epsg is not None:
            raise ValueError("--utm and --epsg are two frames: give one of them")
        if self.up and self.nadir:
            raise ValueError("--up and --nadir contradict each other: give one of them")
