"""The options of each stage, with their defaults, units and reasons. The command line is made from them.

Light on purpose: nothing here imports torch or pycolmap, so ``d2sfm --help`` answers at once.
"""

from dataclasses import MISSING, dataclass, field
from enum import StrEnum
from pathlib import Path

MAPS_IN_MEMORY_GB, MAPS_IN_FOLDER_GB = 2.0, 20.0  # 1 GB is 1e9 bytes


class Preprocessing(StrEnum):
    """How pixels are scaled for the network; it belongs to the weights."""

    CAFFE = "caffe"  # BGR, 0..255, minus the mean
    TORCH = "torch"  # RGB, 0..1, ImageNet mean and standard deviation


class Convention(StrEnum):
    """Where a feature cell lies in the picture (see ``coordinates``)."""

    COLMAP = "colmap"  # true centres, the centre of the top-left pixel at (0.5, 0.5)
    REFERENCE = "reference"  # the numbers of the published code


class Precision(StrEnum):
    """Arithmetic of the network; what is computed from its features is float32 throughout."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    AUTO = "auto"  # bfloat16 where the processor has it, else float32


class DescriptorDtype(StrEnum):
    """Type in which descriptors are stored."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


class CameraMode(StrEnum):
    """Which photographs share a camera, as in COLMAP's import."""

    AUTO = "auto"
    SINGLE = "single"
    PER_FOLDER = "per-folder"
    PER_IMAGE = "per-image"


class OutputType(StrEnum):
    """Format of the feature files beside the photographs."""

    NPZ = "npz"
    MAT = "mat"


class Mapper(StrEnum):
    """Structure-from-motion pipeline of pycolmap."""

    INCREMENTAL = "incremental"
    GLOBAL = "global"


class RefineCameras(StrEnum):
    """Whether mapping may change the intrinsics of cameras."""

    AUTO = "auto"  # all but the cameras that were given by --camera-params
    YES = "yes"
    NO = "no"


class PairKind(StrEnum):
    """Ways to choose the pairs of images that are matched."""

    AUTO = "auto"
    EXHAUSTIVE = "exhaustive"
    SEQUENTIAL = "sequential"
    SPATIAL = "spatial"
    RETRIEVAL = "retrieval"
    COVISIBILITY = "covisibility"
    POSES = "poses"


PUBLISHED_WEIGHTS = ("d2_tf", "d2_tf_no_phototourism")  # by the authors of D2-Net, on their site
MAX_SCALE = 8  # beyond it even a small picture is one of hundreds of megapixels
MAX_STARTS = 1000
EXHAUSTIVE_LIMIT = 200  # images of which auto matches all pairs: 19900, half an hour on two cores


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**31 - MAX_STARTS:  # pycolmap takes 32-bit integers, and starts count on from the seed
        raise ValueError(f"seed must be between 0 and {2**31 - MAX_STARTS - 1}, found {seed}")


def check_extension(name: str, extension: str) -> None:
    """Raise ValueError where the option of this name can't be what a feature file adds to its photograph's name."""
    if not extension or "/" in extension:
        # Without one the features would take the place of the photograph.
        raise ValueError(f"{name} must be a suffix without '/', found {extension!r}")


def check_mirror(weights: str, mirror: tuple[str, ...]) -> None:
    """Raise ValueError where an address is none, or none is needed for these weights."""
    for url in mirror:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"mirror must start with http:// or https://, found {url!r}")
    if mirror and weights not in PUBLISHED_WEIGHTS:
        raise ValueError(f"mirror goes with weights {' or '.join(PUBLISHED_WEIGHTS)}, not with {weights}")


def option(default=MISSING, *, help: str, metavar: str | None = None):
    """A dataclass field that also carries what the command line says of it."""
    return field(default=default, metadata={"help": help, "metavar": metavar})


def mirror_option():
    """Where else to fetch weights from; it decides nothing about features."""
    return option(
        (),
        metavar="URL",
        help=f"folders on the web with {PUBLISHED_WEIGHTS[0]}.pth, tried in this order before the authors' site "
        "(default: none)",
    )


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions:
    """What decides the features of a picture."""

    weights: str = option(
        "d2_ots",
        metavar="NAME|FILE",
        help=f"d2_ots (bundled), {' or '.join(PUBLISHED_WEIGHTS)} (fetched from D2-Net's authors at first use), or "
        "path to a D2-Net checkpoint or VGG16 state dict",
    )
    mirror: tuple[str, ...] = mirror_option()
    scales: tuple[float, ...] = option(
        (1.0,), help="scales of the network input, each 0.1 to 8 (paper, section 4.2: 0.5 1 2 for multiple scales)"
    )
    max_edge: int = option(1600, metavar="PX", help="longest edge of the network input; 0 for no limit")
    max_sum_edges: int = option(2800, metavar="PX", help="largest sum of both edges of the input; 0 for no limit")
    max_keypoints: int | None = option(None, metavar="N", help="keep the N keypoints with the highest scores")
    border: int = option(0, metavar="PX", help="margin without keypoints, in pixels of the photograph")
    preprocessing: Preprocessing = option(Preprocessing.CAFFE, help="pixel scaling that the weights were trained with")
    relu: bool = option(True, help="leave out the ReLU after the last layer")
    precision: Precision = option(
        Precision.FLOAT32,
        help="arithmetic of the network; auto is bfloat16 where the processor has it, else float32, and kept as that",
    )
    device: str = option("auto", metavar="DEVICE", help="auto (CUDA where there is one), cpu, cuda or cuda:N")
    tile_size: int | None = option(
        None,
        metavar="PX",
        help="rows computed at a time, 8 or more; no change of features (default: by memory, CPU: 64)",
    )
    memory_limit: float | None = option(
        None, metavar="GB", help="memory for feature maps, GB of 1e9 bytes (default: 0.5 on a CPU, 2 on a GPU)"
    )
    convention: Convention = option(
        Convention.COLMAP, help="pixel frame of keypoints; reference repeats the published code's offsets"
    )

    def __post_init__(self):
        check_mirror(self.weights, self.mirror)
        if not self.scales or not all(0.1 <= scale <= MAX_SCALE for scale in self.scales):
            raise ValueError(f"scales must be between 0.1 and {MAX_SCALE}, found {list(self.scales)}")
        if len(set(self.scales)) != len(self.scales):
            raise ValueError(f"scales must differ from each other, found {list(self.scales)}")
        for name in ("max_edge", "max_sum_edges"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 (no limit) or more, found {getattr(self, name)}")
        if self.border < 0:
            raise ValueError(f"border must be 0 px or more, found {self.border}")
        if self.max_keypoints is not None and self.max_keypoints < 1:
            raise ValueError(f"max_keypoints must be 1 or more, found {self.max_keypoints}")
        if self.tile_size is not None and self.tile_size < 8:
            raise ValueError(f"tile_size must be 8 px or more, found {self.tile_size}")
        if self.memory_limit is not None and not 0 < self.memory_limit < float("inf"):
            raise ValueError(f"memory_limit must be above 0, found {self.memory_limit:g}")


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """How features are kept."""

    descriptor_dtype: DescriptorDtype | None = option(
        None, help="type of stored descriptors (default: float16 in a database, half the size; float32 in files)"
    )
    output_type: OutputType = option(OutputType.NPZ, help="format of the files beside the photographs")
    output_extension: str = option(
        ".d2-net", metavar="SUFFIX", help="what a feature file's name adds to its photograph's"
    )

    def __post_init__(self):
        check_extension("output_extension", self.output_extension)
        if self.output_type is OutputType.MAT and self.descriptor_dtype is DescriptorDtype.FLOAT16:
            raise ValueError("mat files hold no float16: ask for float32 descriptors or for npz")


@dataclass(frozen=True, kw_only=True)
class CameraOptions:
    """How photographs get their cameras on import (COLMAP's ImageReaderOptions)."""

    camera_mode: CameraMode = option(CameraMode.AUTO, help="which photographs share a camera")
    camera_model: str = option(
        "SIMPLE_RADIAL", metavar="MODEL", help="COLMAP camera model, for example PINHOLE or OPENCV"
    )
    camera_params: str = option(
        "", metavar="P,P,...", help="known camera parameters in the model's order, in pixels; held fixed by reconstruct"
    )
    existing_camera: int | None = option(
        None, metavar="ID", help="camera of the database that all new photographs get, in place of the options above"
    )
    default_focal_length_factor: float = option(
        1.2, help="focal length over the longest edge, of photographs whose EXIF tells none"
    )

    def __post_init__(self):
        if not 0 < self.default_focal_length_factor < float("inf"):
            raise ValueError(f"default_focal_length_factor must be above 0, found {self.default_focal_length_factor:g}")
        own = (self.camera_mode, self.camera_model, self.camera_params)
        if self.existing_camera is not None and own != ("auto", "SIMPLE_RADIAL", ""):
            raise ValueError(
                "existing_camera has a model and parameters: leave out camera_mode, camera_model and camera_params"
            )


@dataclass(frozen=True, kw_only=True)
class PairSelectionOptions:
    """Which images to match.

    Sequences are in the order of names, as in COLMAP: numbers need leading zeros. An image that the way to choose knows
    nothing of (no GPS position, not in the model) gets the neighbours that it would have by retrieval.
    """

    pairs: str = option(
        "auto",
        metavar="KIND|FILE",
        help=f"exhaustive (all), sequential (by name), spatial (by GPS), retrieval (what looks alike), covisibility or "
        f"poses (of --model), auto (exhaustive up to {EXHAUSTIVE_LIMIT} images, retrieval beyond), or a FILE with two "
        "image names a line, given as ./FILE where it is called like a kind",
    )
    overlap: int = option(
        10, help="sequential: images so many places apart or less are paired, and those 1, 2, 4, ... 2^(N - 1) apart"
    )
    loop_candidates: int = option(
        5, help="sequential: most similar images from elsewhere in the sequence that each is paired with; 0 for none"
    )
    num_neighbours: int = option(20, help="spatial, retrieval, covisibility, poses: images that each is paired with")
    max_distance_m: float = option(100.0, metavar="M", help="spatial: largest distance in metres")
    use_altitude: bool = option(False, help="spatial: count GPS altitudes, which are often wrong, in the distance")
    max_angle_deg: float = option(30.0, metavar="DEG", help="poses: largest angle between viewing directions, degrees")
    model: Path | None = option(None, metavar="DIR", help="covisibility, poses: COLMAP model with images by name")
    global_descriptors: Path | None = option(
        None,
        metavar="FILE",
        help="HDF5 file of hloc's layout whose global descriptors tell what looks alike (default: the features do)",
    )

    def __post_init__(self):
        least = {"overlap": 1, "loop_candidates": 0, "num_neighbours": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be {bound} or more, found {getattr(self, name)}")
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
        return PairKind(self.pairs) if self.pairs in list(PairKind) else None


_OF_MODEL = (PairKind.COVISIBILITY, PairKind.POSES)
_OF_NEIGHBOURS = (PairKind.SPATIAL, PairKind.RETRIEVAL, *_OF_MODEL)
_PAIRS_WITH = {  # the kinds of pairs that an option means something for
    "overlap": (PairKind.SEQUENTIAL,),
    "loop_candidates": (PairKind.SEQUENTIAL,),
    "num_neighbours": _OF_NEIGHBOURS,
    "max_distance_m": (PairKind.SPATIAL,),
    "use_altitude": (PairKind.SPATIAL,),
    "max_angle_deg": (PairKind.POSES,),
    "model": _OF_MODEL,
    "global_descriptors": (PairKind.SEQUENTIAL, *_OF_NEIGHBOURS),
}


@dataclass(frozen=True, kw_only=True)
class MatchingOptions:
    """Mutual nearest neighbours, and the optional limits on them (all off: D2 descriptors suffer from each)."""

    ratio: float | None = option(None, help="largest ratio of the best to the second best distance, both ways")
    max_distance: float | None = option(None, help="largest Euclidean distance of unit descriptors, 0 to 2")
    min_similarity: float | None = option(None, help="smallest cosine similarity of descriptors, -1 to 1")
    device: str = option("auto", metavar="DEVICE", help="auto (CUDA where there is one), cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ValueError(f"ratio must be above 0 and at most 1, found {self.ratio}")
        if self.max_distance is not None and not 0 <= self.max_distance <= 2:
            raise ValueError(f"max_distance must lie from 0 to 2 (unit descriptors), found {self.max_distance}")
        if self.min_similarity is not None and not -1 <= self.min_similarity <= 1:
            raise ValueError(f"min_similarity must lie from -1 to 1, found {self.min_similarity}")


@dataclass(frozen=True, kw_only=True)
class VerificationOptions:
    """Two-view geometry of image pairs.

    D2 matches hold many outliers. Where one match in ten is true, COLMAP's 0.25 and 10000 trials found 5 of 16 planes
    seen by cameras of unknown focal length, these settings 14. Of 45 pairs of a church, 50000 or 100000 trials found
    at most one more, in two and four times the time. max_error is wide because two keypoints, each a few pixels off,
    make a match: mapping of the church succeeded in 11 of 20 starts with 8, 7 with 6; where cameras are known it does
    no harm, as mapping filters with tighter thresholds. min_num_inliers is COLMAP's.
    """

    max_error: float = option(8.0, metavar="PX", help="largest epipolar error in pixels of the network input")
    min_inlier_ratio: float = option(0.1, help="inlier ratio for which RANSAC plans its trials")
    max_num_trials: int = option(20000, help="most RANSAC trials for a pair")
    min_num_inliers: int = option(15, help="fewest inliers of a verified pair")
    seed: int = option(0, help="seed of RANSAC; the same seed gives the same geometries")

    def __post_init__(self):
        if not 0 < self.max_error < float("inf"):
            raise ValueError(f"max_error must be above 0, found {self.max_error}")
        if not 0 < self.min_inlier_ratio <= 1:
            raise ValueError(f"min_inlier_ratio must be above 0 and at most 1, found {self.min_inlier_ratio}")
        for name in ("max_num_trials", "min_num_inliers"):
            if not 1 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be 1 or more (32 bits), found {getattr(self, name)}")


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
        _check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """Mapping through pycolmap. Starts differ by their seed; where focal lengths are only estimated one start is a
    lottery, as the first pair of images decides."""

    mapper: Mapper = option(Mapper.INCREMENTAL, help="pycolmap's incremental or global pipeline")
    refine_cameras: RefineCameras = option(
        RefineCameras.AUTO, help="refine intrinsics: yes, no, or auto (all cameras but those given by --camera-params)"
    )
    min_starts: int = option(
        6, metavar="N", help="starts of which the best model is kept, where focal lengths are only estimated"
    )
    max_starts: int = option(
        12, metavar="N", help="most starts; further ones begin while the best model leaves images unsupported"
    )
    time_budget: float = option(
        600.0,
        metavar="S",
        help="after so many seconds no start begins, and all but the first stop with what they have; a faster machine "
        "may then keep another model",
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
        _check_seed(self.seed)
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
        _check_seed(self.seed)
        if self.num_threads != -1 and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or -1 for all, found {self.num_threads}")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The rendered scene of the newcomer's run."""

    views: int = option(14, help="number of views, 6 to 40; the default neighbours are 10 to 15 degrees apart")
    seed: int = option(0, help="seed of the scene's textures, of RANSAC and of mapping")

    def __post_init__(self):
        if not 6 <= self.views <= 40:  # 9 degrees apart: 40 go all the way round
            raise ValueError(f"views must be between 6 and 40, found {self.views}")
        _check_seed(self.seed)
