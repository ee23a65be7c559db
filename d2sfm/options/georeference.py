"""Options of georeferencing."""

from dataclasses import dataclass

from d2sfm.options.choices import Cloud
from d2sfm.options.fields import Options, check_seed, option


@dataclass(frozen=True, kw_only=True)
class GeoreferenceOptions(Options):
    """In which frame, and how far positions may be off."""

    TITLE = "the frame, and the errors of positions"

    max_error_m: float | None = option(
        None,
        metavar="M",
        help="largest error of a position in metres; others are left out (default: 10, control points 1)",
    )
    utm: bool = option(False, help="UTM coordinates of the zone, instead of metres east, north and up of a place")
    epsg: int | None = option(
        None,
        help="projected coordinates of this EPSG code: latitudes and longitudes are converted to it, x, y and z of "
        "files are read in it (default: none)",
    )
    up: bool = option(
        False, help="take up from the cameras, if they were held as usual (without it, only if positions lie on a line)"
    )
    nadir: bool = option(False, help="cameras looked straight down: take their mean viewing direction as down")
    cloud: Cloud = option(Cloud.NONE, help="also write the points as points.las or points.laz")
    seed: int = option(0, help="seed of RANSAC")

    def _check(self):
        self._require_above_zero("max_error_m")
        self._require_at_least(1, "epsg")
        check_seed(self.seed)
        if self.utm and self.epsg is not None:
            raise ValueError("--utm and --epsg name different frames: give one of them")
        if self.up and self.nadir:
            raise ValueError("--up and --nadir contradict each other: give one of them")
