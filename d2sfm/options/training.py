"""The options of training, with the published recipe as defaults. Light: nothing here imports torch."""

from dataclasses import dataclass

from d2sfm.options.choices import Preprocessing, TrainingPrecision
from d2sfm.options.fields import Options, check_mirror, device_option, mirror_option, option

MIN_CORRESPONDENCES = 128  # as published; a pair with fewer is skipped
MIN_IMAGE_SIZE = 96  # the smallest multiple of 8 whose grid has that many cells, and a negative for each
VALIDATION_SEED = 42


@dataclass(frozen=True, kw_only=True)
class PairOptions(Options):
    """Which training pairs are drawn, and how they are cropped."""

    TITLE = "which training pairs are drawn and cropped"

    min_overlap: float = option(0.5, help="smallest share of the first image's points that the second sees")
    max_overlap: float = option(1.0, help="largest such share")
    max_scale_ratio: float = option(
        float("inf"), help="largest ratio of the scales at which the two images show a point, 1 or more"
    )
    pairs_per_scene: int = option(100, metavar="N", help="pairs drawn for each scene and epoch")
    image_size: int = option(256, metavar="PX", help="edge of the crops, a multiple of 8")
    depth_tolerance: float = option(
        0.05, help="largest difference of agreeing depths, in the unit of MegaDepth's scenes"
    )
    depth_tolerance_relative: float = option(
        0.01, help="the same for COLMAP workspaces, whose unit is arbitrary: a share of the depth"
    )
    preprocessing: Preprocessing = option(Preprocessing.CAFFE, help="pixel scaling that the starting weights expect")

    def _check(self):
        if not 0 <= self.min_overlap <= self.max_overlap <= 1:
            raise ValueError(
                "overlaps must be 0 <= min_overlap <= max_overlap <= 1, "
                f"found {self.min_overlap:g} and {self.max_overlap:g}"
            )
        if not self.max_scale_ratio >= 1:
            raise ValueError(f"max_scale_ratio must be 1 or more, found {self.max_scale_ratio:g}")
        self._require_at_least(1, "pairs_per_scene")
        if self.image_size < MIN_IMAGE_SIZE or self.image_size % 8:
            raise ValueError(f"image_size must be a multiple of 8, {MIN_IMAGE_SIZE} or more, found {self.image_size}")
        self._require_above_zero("depth_tolerance", "depth_tolerance_relative")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Optimisation: the published recipe unless told otherwise. Only conv4_3 is trained."""

    TITLE = "optimisation (the published recipe; only conv4_3 is trained)"

    weights: str = option(
        "d2_ots",
        metavar="NAME|FILE",
        help="weights to start from, as for d2sfm extract; torchvision's classifier needs --preprocessing torch",
    )
    mirror: tuple[str, ...] = mirror_option()
    num_epochs: int = option(10, metavar="N", help="passes over the scenes")
    lr: float = option(1e-3, help="learning rate of Adam, constant")
    batch_size: int = option(1, metavar="N", help="pairs in one forward pass, on each process")
    accumulate: int = option(1, metavar="N", help="forward passes for one step of the optimiser")
    use_validation: bool = option(
        False,
        help="measure the loss on fixed validation pairs before the first epoch and after each, and keep the best "
        "checkpoint",
    )
    validation_pairs_per_scene: int = option(25, metavar="N", help="pairs drawn once for each validation scene")
    precision: TrainingPrecision = option(
        TrainingPrecision.FLOAT32,
        help="arithmetic of the network; float32 uses TF32 in convolutions on GPUs that have it",
    )
    device: str = device_option()
    num_workers: int | None = option(
        None,
        metavar="N",
        help="workers of each process that read and crop pairs; 0 for none (default: one per core, at most 4)",
    )
    seed: int = option(0, help="seed of the pairs that are drawn")
    checkpoint_interval: int = option(500, metavar="N", help="steps between checkpoints inside an epoch")
    log_interval: int = option(250, metavar="N", help="steps between lines of the log, and pictures of --plot")
    plot: bool = option(False, help="draw training pairs with their correspondences and scores")

    def _check(self):
        check_mirror(self.weights, self.mirror)
        self._require_at_least(1, "num_epochs", "batch_size", "accumulate", "validation_pairs_per_scene")
        self._require_at_least(1, "checkpoint_interval", "log_interval")
        self._require_above_zero("lr")
        self._require_at_least(0, "num_workers", "seed")
