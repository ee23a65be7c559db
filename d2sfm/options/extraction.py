"""Options of extraction: what decides the features, and how they are kept."""

from dataclasses import dataclass

from d2sfm.options.choices import (
    Convention,
    DescriptorDtype,
    Orientation,
    OutputType,
    Precision,
    Preprocessing,
    Stretch,
)
from d2sfm.options.fields import (
    PUBLISHED_WEIGHTS,
    Options,
    check_extension,
    check_mirror,
    device_option,
    mirror_option,
    option,
)

MAX_SCALE = 8  # beyond it even a small picture is one of hundreds of megapixels


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions(Options):
    """What decides the features of a picture."""

    TITLE = "features of a picture"

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
    max_keypoints: int | None = option(
        None, metavar="N", help="keep the N keypoints with the highest scores (default: all)"
    )
    border: int = option(0, metavar="PX", help="margin without keypoints, in pixels of the photograph")
    preprocessing: Preprocessing = option(Preprocessing.CAFFE, help="pixel scaling that the weights were trained with")
    relu: bool = option(True, help="leave out the ReLU after the last layer")
    precision: Precision = option(
        Precision.AUTO,
        help="arithmetic of the network; auto: as the features in the database, else bfloat16 if the device has it, "
        "else float32; float32 with --convention reference and in files",
    )
    device: str = device_option()
    tile_size: int | None = option(
        None,
        metavar="PX",
        is_resource=True,
        help="rows computed at a time, 8 or more; features do not depend on it (default: what memory allows, on a CPU "
        "at most 64)",
    )
    memory_limit: float | None = option(
        None,
        metavar="GB",
        is_resource=True,
        help="memory for feature maps, GB of 1e9 bytes (default: 0.5 on a CPU, 2 on a GPU)",
    )
    convention: Convention = option(
        Convention.COLMAP, help="pixel frame of keypoints; reference repeats the published code's offsets"
    )
    orientation: Orientation = option(
        Orientation.EXIF,
        help="how photographs are turned upright for the network: exif, by their EXIF orientation; auto, also in steps "
        "of 90 degrees by the pictures themselves; none, as they are stored, as with --convention reference",
    )
    stretch: Stretch = option(
        Stretch.FOLDER,
        help="how photographs of 16 bits that use less than a quarter of their range (thermal ones) are stretched: "
        "folder, all from one range, their common 0.1 to 99.9 percentile; image, each from its own; none",
    )

    def _check(self):
        if self.convention is Convention.REFERENCE:  # whose numbers are those of the stored pixels, in float32
            if self.orientation is Orientation.AUTO:
                raise ValueError("orientation auto goes with convention colmap, not with reference")
            object.__setattr__(self, "orientation", Orientation.NONE)
            if self.precision is Precision.AUTO:
                object.__setattr__(self, "precision", Precision.FLOAT32)
        check_mirror(self.weights, self.mirror)
        if not self.scales or not all(0.1 <= scale <= MAX_SCALE for scale in self.scales):
            raise ValueError(f"scales must be between 0.1 and {MAX_SCALE}, found {list(self.scales)}")
        if len(set(self.scales)) != len(self.scales):
            raise ValueError(f"scales must differ from each other, found {list(self.scales)}")
        self._require_at_least(0, "max_edge", "max_sum_edges", unit=" (no limit)")
        self._require_at_least(0, "border", unit=" px")
        self._require_at_least(1, "max_keypoints")
        self._require_at_least(8, "tile_size", unit=" px")
        self._require_above_zero("memory_limit")


@dataclass(frozen=True, kw_only=True)
class StorageOptions(Options):
    """How features are kept."""

    TITLE = "how features are stored"

    descriptor_dtype: DescriptorDtype | None = option(
        None, help="type of stored descriptors (default: float16 in a database, half the size; float32 in files)"
    )
    output_type: OutputType | None = option(
        None,
        help="write feature files of this format beside the photographs (default: a database; npz with --image-list)",
    )
    output_extension: str | None = option(
        None, metavar="SUFFIX", help="suffix that such a file adds to its photograph's name (default: .d2-net)"
    )

    @property
    def in_database(self) -> DescriptorDtype:
        """The type of descriptors in a database, and in what becomes one."""
        return self.descriptor_dtype or DescriptorDtype.FLOAT16

    @property
    def is_of_files(self) -> bool:
        """Whether an option of files is given."""
        return self.output_type is not None or self.output_extension is not None

    def _check(self):
        if self.output_extension is not None:
            check_extension("output_extension", self.output_extension)
        if self.output_type is OutputType.MAT and self.descriptor_dtype is DescriptorDtype.FLOAT16:
            raise ValueError("mat files can't hold float16: choose float32 descriptors or npz")
