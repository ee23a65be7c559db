"""Choices of options. Each may also be given as a plain string."""

from enum import StrEnum


class Preprocessing(StrEnum):
    """How pixels are scaled for the network; it belongs to the weights."""

    CAFFE = "caffe"  # BGR, 0..255, minus the mean
    TORCH = "torch"  # RGB, 0..1, ImageNet mean and standard deviation


class Convention(StrEnum):
    """Where a feature cell lies in the picture (see ``coordinates``)."""

    COLMAP = "colmap"  # true centres, the centre of the top-left pixel at (0.5, 0.5)
    REFERENCE = "reference"  # the numbers of the published code


class Orientation(StrEnum):
    """How photographs are turned before the network; keypoints always belong to the stored pixels."""

    EXIF = "exif"  # the orientation in their EXIF data
    AUTO = "auto"  # that, and what the pictures themselves tell, in steps of 90 degrees
    NONE = "none"  # as they are stored


class Stretch(StrEnum):
    """From what range 16-bit photographs that use little of it are stretched to the network's 8 bits."""

    FOLDER = "folder"  # one that all of them share, so that a grey is the same in each
    IMAGE = "image"  # each from its own
    NONE = "none"  # from the whole range, as others


GreyRange = tuple[int, int]  # values of 16 bits that are black and white to the network


class Precision(StrEnum):
    """Arithmetic of the network; what is computed from its features is float32 throughout."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    AUTO = "auto"  # what features of the database have, else bfloat16 where the processor has it, else float32


class TrainingPrecision(StrEnum):
    """Arithmetic of the network's forward and backward pass; weights, optimiser and loss stay in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"  # with scaled gradients


class DescriptorDtype(StrEnum):
    """Type in which descriptors are stored."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


class Quality(StrEnum):
    """How much work a run of all stages puts into a model, see ``qualities``."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EXTREME = "extreme"


class OutputType(StrEnum):
    """Format of the feature files beside the photographs."""

    NPZ = "npz"
    MAT = "mat"


class CameraMode(StrEnum):
    """Which photographs share a camera, as in COLMAP's import."""

    AUTO = "auto"
    SINGLE = "single"
    PER_FOLDER = "per-folder"
    PER_IMAGE = "per-image"


class PairKind(StrEnum):
    """Ways to choose the pairs of images that are matched."""

    AUTO = "auto"
    EXHAUSTIVE = "exhaustive"
    SEQUENTIAL = "sequential"
    SPATIAL = "spatial"
    RETRIEVAL = "retrieval"
    COVISIBILITY = "covisibility"
    POSES = "poses"


class PairHalf(StrEnum):
    """Every other pair of an evaluation, from which on."""

    FIRST = "first"
    SECOND = "second"


class Mapper(StrEnum):
    """Structure-from-motion pipeline of pycolmap."""

    INCREMENTAL = "incremental"
    GLOBAL = "global"


class RefineCameras(StrEnum):
    """Whether mapping may change the intrinsics of cameras."""

    AUTO = "auto"  # all but the cameras that were given by --camera-params
    YES = "yes"
    NO = "no"


class Layout(StrEnum):
    """Programs that read photographs without distortion."""

    COLMAP = "colmap"
    GAUSSIANS = "3dgs"
    NERFSTUDIO = "nerfstudio"


class ExportFormat(StrEnum):
    """Layout of the files that are written."""

    HLOC = "hloc"
    NPZ = "npz"
    MAT = "mat"


class Cloud(StrEnum):
    """File formats of a model's points for surveying programs."""

    NONE = "none"
    LAS = "las"
    LAZ = "laz"


class ExportedMatches(StrEnum):
    """Which matches are written."""

    ALL = "all"
    VERIFIED = "verified"
    NONE = "none"
