"""Options of localization."""

from dataclasses import dataclass

from d2sfm.options.choices import Precision
from d2sfm.options.fields import Options, check_mirror, check_seed, device_option, mirror_option, option


@dataclass(frozen=True, kw_only=True)
class LocalizationOptions(Options):
    """How a query is placed. Other settings of its features are those of the map's features."""

    TITLE = "poses of queries"

    num_candidates: int = option(5, metavar="N", help="images of the model that each query is matched with")
    max_error: float = option(
        12.0, metavar="PX", help="largest reprojection error before refinement, in pixels of the network input"
    )
    refined_error: float = option(
        3.0, metavar="PX", help="largest reprojection error after refinement, in pixels of the network input"
    )
    # Photographs of another place have reached 10; the weakest true query of three collections had 28.
    min_inliers: int = option(20, metavar="N", help="fewest keypoints of a query that agree on its pose")
    refine: bool = option(True, help="do not align the keypoints of queries with those of the model")
    weights: str = option("d2_ots", metavar="NAME|FILE", help="weights of the features in the database")
    mirror: tuple[str, ...] = mirror_option()
    precision: Precision = option(Precision.AUTO, help="arithmetic of the network; auto: as in the database")
    device: str = device_option()
    seed: int = option(0, metavar="N", help="seed of RANSAC")

    def _check(self):
        check_mirror(self.weights, self.mirror)
        self._require_above_zero("max_error", "refined_error")
        self._require_at_least(1, "num_candidates")
        self._require_at_least(4, "min_inliers")
        check_seed(self.seed)
