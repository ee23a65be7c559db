"""Options of refinement."""

from dataclasses import dataclass

from d2sfm.options.choices import Precision, Preprocessing
from d2sfm.options.extraction import ExtractionOptions
from d2sfm.options.fields import Options, check_mirror, check_seed, device_option, mirror_option, option


@dataclass(frozen=True, kw_only=True)
class RefinementOptions(Options):
    """Keypoints moved to where their tracks' references are, by the trunk's early layers, then by grey values."""

    TITLE = "how keypoints move to their tracks' references, by features, then grey values"

    max_error: float | None = option(
        None,
        metavar="PX",
        help="largest epipolar error of refined keypoints in pixels of the network input (default: 2, and at most 1 px "
        "of the photograph if keypoints are that exact)",
    )
    weights: str = option(
        "d2_ots",
        metavar="NAME|FILE",
        help="weights of the early layers, as for d2sfm extract (D2-Net's training leaves these unchanged)",
    )
    mirror: tuple[str, ...] = mirror_option()
    preprocessing: Preprocessing = option(Preprocessing.CAFFE, help="pixel scaling that the weights were trained with")
    precision: Precision = option(Precision.AUTO, help="arithmetic of the early layers, if their maps are not cached")
    device: str = device_option()
    rounds: int = option(
        1, help="number of rounds; each builds tracks from the matches verified after the round before"
    )
    # Halves the errors of two thirds of the observations; where photographs look too different, it leaves them.
    grey: bool = option(True, help="do not align keypoints by grey values after the early layers")
    # Tracks get longer by a third, and so do points seen by three images or more.
    continue_: bool = option(
        True, help="do not look for a track's point in photographs that have no exact keypoint of it"
    )
    seed: int = option(0, help="seed of RANSAC")

    @classmethod
    def of_features(cls, features: ExtractionOptions) -> "RefinementOptions":
        """For features that were extracted so."""
        shared = ("weights", "mirror", "preprocessing", "precision", "device")
        return cls(**{name: getattr(features, name) for name in shared})

    def _check(self):
        check_mirror(self.weights, self.mirror)
        self._require_above_zero("max_error")
        self._require_at_least(1, "rounds")
        check_seed(self.seed)
