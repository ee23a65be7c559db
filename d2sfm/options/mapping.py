"""Options of reconstruction and triangulation."""

from dataclasses import dataclass

from d2sfm.options.choices import Mapper, RefineCameras
from d2sfm.options.fields import MAX_STARTS, Options, check_seed, option


@dataclass(frozen=True, kw_only=True)
class _ModelOptions(Options):
    """How a model is made, with cameras that are known or not, and which files are written beside it."""

    seed: int = option(0, metavar="N", help="seed of pycolmap's random numbers")
    num_threads: int = option(
        -1, metavar="N", help="threads, -1 for all processors; only with 1 does the same seed give the same model"
    )
    text: bool = option(False, help="also write COLMAP's text files")
    ply: bool = option(False, help="also write the points as PLY with normals (zeros)")

    def _check(self):
        check_seed(self.seed)
        if self.num_threads != -1 and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or -1 for all, found {self.num_threads}")


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions(_ModelOptions):
    """Mapping through pycolmap.

    Starts differ by their seed; where focal lengths are only estimated one start is a lottery, as the first pair of
    images decides.
    """

    TITLE = "mapping through pycolmap"

    mapper: Mapper = option(Mapper.INCREMENTAL, help="pycolmap's incremental or global pipeline")
    refine_cameras: RefineCameras = option(
        RefineCameras.AUTO, help="refine intrinsics: yes, no, or auto (all cameras but those given by --camera-params)"
    )
    refine_rigs: bool = option(
        False,
        help="refine the known poses of cameras in rigs; otherwise these stay fixed, and only unknown ones are "
        "estimated",
    )
    min_starts: int = option(
        6, metavar="N", help="fewest starts if focal lengths are only estimated (else 1); the best model is kept"
    )
    max_starts: int = option(
        12,
        metavar="N",
        help="most starts; beyond --min-starts only while the best model lacks images, or points in some",
    )
    time_budget: float | None = option(
        None,
        metavar="S",
        help="seconds for all starts; the running one then stops with the model it has (a global one finishes). "
        "Refining distortion may take as long again. Results depend on the machine's speed (default: 600, but starts "
        "go on until there is a model, and run to their end until one has most images)",
    )
    seed: int = option(0, metavar="N", help="seed of the first start; the next ones get the next numbers")

    def _check(self):
        super()._check()
        for name in ("min_starts", "max_starts"):
            if not 1 <= getattr(self, name) <= MAX_STARTS:
                raise ValueError(f"{name} must be between 1 and {MAX_STARTS}, found {getattr(self, name)}")
        if self.time_budget is not None and not self.time_budget > 0:
            raise ValueError(f"time_budget must be above 0 s, found {self.time_budget:g}")


@dataclass(frozen=True, kw_only=True)
class TriangulationOptions(_ModelOptions):
    """Points for cameras that are known."""

    TITLE = "triangulation"

    max_error: float | None = option(
        None,
        metavar="PX",
        help="largest epipolar error of a match in pixels of the network input (default: that of the verification)",
    )

    def _check(self):
        super()._check()
        self._require_above_zero("max_error")
