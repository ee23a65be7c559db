"""What a run needs, checked before the long work."""

import logging
from pathlib import Path

from d2sfm.database import FeatureStore
from d2sfm.georeference.georeference import require_libraries
from d2sfm.georeference.output import require_output
from d2sfm.options import GeoreferenceOptions, PairSelectionOptions, UndistortionOptions
from d2sfm.pairs.pair_files import require_pairs_file
from d2sfm.report.models import GEOREFERENCED, MODELS
from d2sfm.skipped import Skipped
from d2sfm.undistortion.undistort import require_own
from d2sfm.workflow.values import ENABLED, RunValues

logger = logging.getLogger(__name__)


def require_inputs(values: RunValues) -> None:
    """Before the hours of extraction: FileNotFoundError for missing files that pairs are chosen by, ValueError for
    missing libraries of georeferencing."""
    pairs = values.of("match", PairSelectionOptions)
    if values.stages["georeference"][ENABLED]:
        require_libraries(values.of("georeference", GeoreferenceOptions))
    if pairs.kind is None:
        require_pairs_file(pairs.pairs)
    if pairs.model is not None and not pairs.model.exists():
        raise FileNotFoundError(f"no COLMAP model {pairs.model}")
    if pairs.global_descriptors is not None and not pairs.global_descriptors.exists():
        raise FileNotFoundError(f"no file of global descriptors {pairs.global_descriptors}")


def require_places(values: RunValues, output: Path) -> None:
    """Before the hours, too: ValueError or RuntimeError if a folder of the last stages holds what is not theirs."""
    if values.stages["georeference"][ENABLED]:
        require_output(output / GEOREFERENCED, output / MODELS)
    if (layout := values.of("undistort", UndistortionOptions).layout) is not None:
        require_own(output / layout)


def require_two(database: Path, photographs: Path, skipped: Skipped) -> None:
    """RuntimeError if fewer than two photographs have features; the log then tells why others were skipped."""
    with FeatureStore(database) as features:
        usable = len(features.extracted())
    if usable < 2:
        for name, reason in skipped.items():
            logger.warning("skipped %s: %s", name, reason)
        raise RuntimeError(f"{photographs} has {usable or 'no'} photograph that can be used, expected two or more")
