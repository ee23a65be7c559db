"""Options of undistortion."""

from dataclasses import dataclass

from d2sfm.options.choices import Layout
from d2sfm.options.fields import Options, option


@dataclass(frozen=True, kw_only=True)
class UndistortionOptions(Options):
    """Photographs without distortion, for other programs."""

    TITLE = "photographs without distortion"

    layout: Layout | None = option(
        None,
        help="program that reads them: COLMAP's stereo, Gaussian splatting or nerfstudio (default: colmap; in a run: "
        "none)",
    )
    max_edge: int | None = option(
        None, metavar="PX", help="reduce pictures to this longest edge (default: not reduced)"
    )
    num_threads: int = option(
        -1, metavar="N", help="photographs processed at a time, -1 for one per processor", is_resource=True
    )

    def _check(self):
        self._require_at_least(1, "max_edge", unit=" px")
        if self.num_threads != -1 and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or -1 for all, found {self.num_threads}")
