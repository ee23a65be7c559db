"""The options of each stage, with their defaults, units and reasons. The command line is built from them.

Light on purpose: nothing here imports torch or pycolmap, so ``d2sfm --help`` answers at once.
"""

from d2sfm.options.bridge import BridgeOptions
from d2sfm.options.cameras import CameraOptions
from d2sfm.options.choices import (
    CameraMode,
    Cloud,
    Convention,
    DescriptorDtype,
    ExportedMatches,
    ExportFormat,
    GreyRange,
    Layout,
    Mapper,
    Orientation,
    OutputType,
    PairHalf,
    PairKind,
    Precision,
    Preprocessing,
    Quality,
    RefineCameras,
    Stretch,
    TrainingPrecision,
)
from d2sfm.options.demo import DemoOptions
from d2sfm.options.evaluation import ComparisonOptions, PairEvaluationOptions
from d2sfm.options.extraction import ExtractionOptions, StorageOptions
from d2sfm.options.georeference import GeoreferenceOptions
from d2sfm.options.localization import LocalizationOptions
from d2sfm.options.map_cache import MapCacheOptions
from d2sfm.options.mapping import ReconstructionOptions, TriangulationOptions
from d2sfm.options.masks import MaskOptions
from d2sfm.options.matching import MatchingOptions, VerificationOptions
from d2sfm.options.pairs import EXHAUSTIVE_LIMIT, PairSelectionOptions
from d2sfm.options.photographs import PhotographOptions
from d2sfm.options.preparation import PreparationOptions
from d2sfm.options.qualities import QUALITIES
from d2sfm.options.refinement import RefinementOptions
from d2sfm.options.stages import STAGES
from d2sfm.options.training import PairOptions, TrainingOptions
from d2sfm.options.transfer import ExportOptions, ImportOptions
from d2sfm.options.undistortion import UndistortionOptions
