"""Options of reconstruction and triangulation."""

from dataclasses import dataclass
from enum import StrEnum

from d2sfm.options.fields import MAX_STARTS, check_seed, option


class Mapper(StrEnum):
    """Structure-from-motion pipeline of pycolmap."""

    INCREMENTAL = "incremental"
    GLOBAL = "global"


class RefineCameras(StrEnum):
    """Whether mapping may change the intrinsics of cameras."""

    AUTO = "auto"  # all but the cameras that were given by --camera-params
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """Mapping through pycolmap. Starts differ by their seed; where focal lengths are only estimated one start is a
    lottery, as the first pair of images decides."""

    mapper: Mapper = option(Mapper.INCREMENTAL, help="pycolmap's incremental or global pipeline")
    refine_cameras: RefineCameras = option(
        RefineCameras.AUTO, help="refine intrinsics: yes, no, or auto (all cameras but those given by --camera-params)"
    )
    min_starts: int = option(
        6,
        metavar="N",
        help="starts of which the best model is kept, where focal lengths are only estimated; never more than "
        "--max-starts",
    )
    max_starts: int = option(
        12, metavar="N", help="most starts; further ones begin while the best model leaves images unsupported"
    )
    time_budget: float = option(
        600.0,
        metavar="S",
        help="after so many seconds no start begins, and all but the first stop with what they have (global ones go "
        "to their end, and distortion is still refined after a cautious one, for as long as that took at most); a "
        "faster machine may then keep another model",
    )
    seed: int = option(0, metavar="N", help="seed of the first start; the next ones count on from it")
    num_threads: int = option(
        1, metavar="N", help="threads of mapping, -1 for all; only with 1 does the same seed give the same model"
    )
    text: bool = option(False, help="write COLMAP's text files, too")
    ply: bool = option(False, help="write the points as PLY, too")

    def __post_init__(self):
        for name in ("min_starts", "max_starts"):
            if not 1 <= getattr(self, name) <= MAX_STARTS:
                raise ValueError(f"{name} must be between 1 and {MAX_STARTS}, found {getattr(self, name)}")
        if not self.time_budget > 0:
            raise ValueError(f"time_budget must be above 0 s, found {self.time_budget:g}")
        check_seed(self.seed)
        if self.num_threads != -1 and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or -1 for all, found {self.num_threads}")


@dataclass(frozen=True, kw_only=True)
class TriangulationOptions:
    """Points for cameras that are known."""

    max_error: float | None = option(
        None,
        metavar="PX",
        help="largest epipolar error of a match in pixels of the network input (default: that of the verification)",
    )
    seed: int = option(0, metavar="N", help="seed of triangulation")
    num_threads: int = option(
        1, metavar="N", help="threads of triangulation, -1 for all; only with 1 does the same seed give the same model"
    )
    text: bool = option(False, help="write COLMAP's text files, too")
    ply: bool = option(False, help="write the points as PLY, too")

    def __post_init__(self):
        if self.max_error is not None and not 0 < self.max_error < float("inf"):
            raise ValueError(f"max_error must be above 0, found {self.max_error}")
        check_seed(self.seed)
        if self.num_threads != -1 and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or -1 for all, found {self.num_threads}")
