"""Options of extraction: what decides the features, how they are kept, and which cameras photographs get."""

from dataclasses import dataclass
from enum import StrEnum

from d2sfm.options.fields import PUBLISHED_WEIGHTS, check_extension, check_mirror, mirror_option, option

MAX_SCALE = 8  # beyond it even a small picture is one of hundreds of megapixels


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
