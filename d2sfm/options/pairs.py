"""Options of which images are matched."""

from dataclasses import dataclass
from pathlib import Path

from d2sfm.options.choices import PairKind
from d2sfm.options.fields import Options, option
from d2sfm.spelling import chosen

EXHAUSTIVE_LIMIT = 200  # images of which auto matches all pairs: 19900, half an hour on two cores


@dataclass(frozen=True, kw_only=True)
class PairSelectionOptions(Options):
    """Which images to match.

    The photographs of a folder are a sequence, in the order of names, numbers in them by size: frame_9 comes before
    frame_10. Similar images may lie in another folder. An image without a GPS position, or not in the
    model, gets the neighbours that it would have by retrieval.
    """

    TITLE = "which images to match"

    pairs: str = option(
        "auto",
        metavar="KIND|FILE",
        help="exhaustive (all), sequential (by name, in each folder), spatial (by GPS), retrieval (similar images), "
        f"covisibility or poses (of --model), auto (exhaustive up to {EXHAUSTIVE_LIMIT} images, else retrieval), "
        "or a FILE with two image names a line (./FILE if its name is that of a kind)",
    )
    overlap: int = option(
        10, help="sequential: pair images up to N places apart, and those 1, 2, 4, ... 2^(N - 1) apart"
    )
    loop_candidates: int = option(
        5,
        help="sequential: most similar images elsewhere, in any folder, that each image is also paired with; 0 for "
        "none",
    )
    num_neighbours: int = option(
        20, help="auto, spatial, retrieval, covisibility, poses: images that each image is paired with"
    )
    max_distance_m: float = option(100.0, metavar="M", help="spatial: largest distance in metres")
    use_altitude: bool = option(False, help="spatial: count GPS altitudes, which are often wrong, in the distance")
    max_angle_deg: float = option(30.0, metavar="DEG", help="poses: largest angle between viewing directions, degrees")
    model: Path | None = option(None, metavar="DIR", help="covisibility, poses: COLMAP model with images by name")
    global_descriptors: Path | None = option(
        None,
        metavar="FILE",
        help="all kinds but auto and exhaustive: hloc's HDF5 file of global descriptors (default: computed from the "
        "features)",
    )

    def _check(self):
        self._require_at_least(1, "overlap", "num_neighbours")
        self._require_at_least(0, "loop_candidates")
        if not self.max_distance_m > 0:
            raise ValueError(f"max_distance_m must be above 0, found {self.max_distance_m:g}")
        if not 0 <= self.max_angle_deg <= 180:
            raise ValueError(f"max_angle_deg must lie from 0 to 180, found {self.max_angle_deg:g}")
        for name, kinds in _PAIRS_WITH.items():
            if getattr(self, name) != getattr(type(self), name) and self.kind not in kinds:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} goes with --pairs {' or '.join(kinds)}, not with --pairs {self.pairs}")
        if self.model is None and self.kind in _PAIRS_WITH["model"]:
            raise ValueError(f"--pairs {self.pairs} needs a COLMAP model: --model DIR")

    @property
    def kind(self) -> PairKind | None:
        """The way to choose; None for a file."""
        return chosen(PairKind, self.pairs)


_OF_MODEL = (PairKind.COVISIBILITY, PairKind.POSES)
_OF_NEIGHBOURS = (PairKind.SPATIAL, PairKind.RETRIEVAL, *_OF_MODEL)
KINDS_WITH_NUMBER = (PairKind.AUTO, *_OF_NEIGHBOURS)  # of neighbours
_PAIRS_WITH = {  # the kinds of pairs that an option means something for
    "overlap": (PairKind.SEQUENTIAL,),
    "loop_candidates": (PairKind.SEQUENTIAL,),
    "num_neighbours": KINDS_WITH_NUMBER,
    "max_distance_m": (PairKind.SPATIAL,),
    "use_altitude": (PairKind.SPATIAL,),
    "max_angle_deg": (PairKind.POSES,),
    "model": _OF_MODEL,
    "global_descriptors": (PairKind.SEQUENTIAL, *_OF_NEIGHBOURS),
}
