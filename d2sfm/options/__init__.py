"""The options of each stage, with their defaults, units and reasons. The command line is made from them.

Light on purpose: nothing here imports torch or pycolmap, so ``d2sfm --help`` answers at once.
"""

from d2sfm.options.demo import DemoOptions
from d2sfm.options.extraction import (
    CameraMode,
    CameraOptions,
    Convention,
    DescriptorDtype,
    ExtractionOptions,
    OutputType,
    Precision,
    Preprocessing,
    StorageOptions,
)
from d2sfm.options.mapping import Mapper, ReconstructionOptions, RefineCameras, TriangulationOptions
from d2sfm.options.matching import MatchingOptions, VerificationOptions
from d2sfm.options.pairs import EXHAUSTIVE_LIMIT, PairKind, PairSelectionOptions
from d2sfm.options.refinement import MAPS_IN_FOLDER_GB, MAPS_IN_MEMORY_GB, RefinementOptions
from d2sfm.options.training import PairOptions, TrainingOptions
from d2sfm.options.transfer import ExportedMatches, ExportFormat, ExportOptions, ImportOptions

__all__ = [
    "EXHAUSTIVE_LIMIT",
    "MAPS_IN_FOLDER_GB",
    "MAPS_IN_MEMORY_GB",
    "CameraMode",
    "CameraOptions",
    "Convention",
    "DemoOptions",
    "DescriptorDtype",
    "ExportFormat",
    "ExportOptions",
    "ExportedMatches",
    "ExtractionOptions",
    "ImportOptions",
    "Mapper",
    "MatchingOptions",
    "OutputType",
    "PairKind",
    "PairOptions",
    "PairSelectionOptions",
    "Precision",
    "Preprocessing",
    "ReconstructionOptions",
    "RefineCameras",
    "RefinementOptions",
    "StorageOptions",
    "TrainingOptions",
    "TriangulationOptions",
    "VerificationOptions",
]
