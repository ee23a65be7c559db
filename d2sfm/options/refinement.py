"""Options of refinement."""

from dataclasses import dataclass

from d2sfm.options.extraction import Precision, Preprocessing
from d2sfm.options.fields import check_mirror, check_seed, mirror_option, option

MAPS_IN_MEMORY_GB, MAPS_IN_FOLDER_GB = 2.0, 20.0  # 1 GB is 1e9 bytes


@dataclass(frozen=True, kw_only=True)
class RefinementOptions:
    """Keypoints moved to where their tracks' references are, by the trunk's early layers."""

    max_error: float = option(
        2.0, metavar="PX", help="largest epipolar error of refined keypoints in pixels of the network input"
    )
    weights: str = option(
        "d2_ots",
        metavar="NAME|FILE",
        help="weights of the early layers, as for d2sfm extract; training D2-Net does not change them",
    )
    mirror: tuple[str, ...] = mirror_option()
    preprocessing: Preprocessing = option(Preprocessing.CAFFE, help="pixel scaling that the weights were trained with")
    precision: Precision = option(Precision.AUTO, help="arithmetic of the early layers, where they are not cached")
    device: str = option("auto", metavar="DEVICE", help="auto (CUDA where there is one), cpu, cuda or cuda:N")
    cache_limit: float | None = option(
        None,
        metavar="GB",
        help="feature maps kept to be asked for again (default: "
        f"{MAPS_IN_MEMORY_GB:g} in memory, {MAPS_IN_FOLDER_GB:g} in the folder --cache)",
    )
    rounds: int = option(
        1, help="times that keypoints are aligned, each with tracks anew from matches verified after the one before"
    )
    seed: int = option(0, help="seed of RANSAC")

    def __post_init__(self):
        check_mirror(self.weights, self.mirror)
        if not 0 < self.max_error < float("inf"):
            raise ValueError(f"max_error must be above 0, found {self.max_error}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be 1 or more, found {self.rounds}")
        if self.cache_limit is not None and not 0 <= self.cache_limit < float("inf"):
            raise ValueError(f"cache_limit must be 0 or more, found {self.cache_limit}")
        check_seed(self.seed)
