"""Which options the stages from photographs to a model and beyond have, for their commands and for a run of all."""

from collections.abc import Mapping

from d2sfm.options.cameras import CameraOptions
from d2sfm.options.extraction import ExtractionOptions, StorageOptions
from d2sfm.options.fields import Options
from d2sfm.options.georeference import GeoreferenceOptions
from d2sfm.options.map_cache import MapCacheOptions
from d2sfm.options.mapping import ReconstructionOptions
from d2sfm.options.masks import MaskOptions
from d2sfm.options.matching import MatchingOptions, VerificationOptions
from d2sfm.options.pairs import PairSelectionOptions
from d2sfm.options.photographs import PhotographOptions
from d2sfm.options.refinement import RefinementOptions
from d2sfm.options.undistortion import UndistortionOptions

STAGES: Mapping[str, tuple[type[Options], ...]] = {
    "extract": (ExtractionOptions, PhotographOptions, MaskOptions, CameraOptions, StorageOptions, MapCacheOptions),
    "match": (PairSelectionOptions, MatchingOptions, VerificationOptions),
    "refine": (RefinementOptions, MapCacheOptions),
    "reconstruct": (ReconstructionOptions,),
    "georeference": (GeoreferenceOptions,),
    "undistort": (UndistortionOptions,),
}
