"""Options of export and import."""

from dataclasses import dataclass

from d2sfm.options.choices import Convention, DescriptorDtype, ExportedMatches, ExportFormat
from d2sfm.options.fields import Options, check_extension, option


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Files to write for other tools."""

    TITLE = "what to write for other tools"

    format: ExportFormat = option(
        ExportFormat.HLOC,
        help="hloc: features.h5, matches.h5 and pairs.txt; npz, mat: a file for each image, as the published tool's",
    )
    matches: ExportedMatches = option(
        ExportedMatches.ALL,
        help="hloc: all, for tools that verify matches; verified, the inliers, for tools that do not; or none",
    )
    extension: str = option(
        ".d2-net", metavar="SUFFIX", help="npz, mat: suffix that a feature file adds to its photograph's name"
    )

    def _check(self):
        check_extension("extension", self.extension)
        if self.format is not ExportFormat.HLOC and self.matches is not ExportedMatches.ALL:
            raise ValueError(f"--matches goes with --format hloc, not with --format {self.format}")
        if self.format is ExportFormat.HLOC and self.extension != ExportOptions.extension:
            raise ValueError("--extension goes with --format npz or mat, not with --format hloc")


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Options):
    """Facts that feature files lack, and how features are stored."""

    TITLE = "what feature files do not say, and how features are stored"

    convention: Convention | None = option(
        None,
        help="pixel frame of keypoints if files do not say; reference, as the published tool and hloc's D2-Net write, "
        "is converted to colmap (default: hloc's frame for HDF5, with a warning; npz and mat need it)",
    )
    max_edge: int = option(
        1600, metavar="PX", help="longest edge of the network input, if files do not say; 0 for no limit"
    )
    max_sum_edges: int = option(
        2800, metavar="PX", help="largest sum of both edges of the input, if files do not say; 0 for no limit"
    )
    extension: str = option(
        ".d2-net", metavar="SUFFIX", help="suffix that a feature file adds to its photograph's name"
    )
    descriptor_dtype: DescriptorDtype = option(DescriptorDtype.FLOAT16, help="type of stored descriptors")

    def _check(self):
        check_extension("extension", self.extension)
        self._require_at_least(0, "max_edge", "max_sum_edges", unit=" (no limit)")
