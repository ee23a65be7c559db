"""What a run makes of its first model on request."""

import logging
from pathlib import Path

from d2sfm.georeference.georeference import georeference_model
from d2sfm.georeference.result import GeoreferenceResult
from d2sfm.options import GeoreferenceOptions, MaskOptions, PhotographOptions, UndistortionOptions
from d2sfm.report.report import ReportResult, write_report
from d2sfm.text import first_line
from d2sfm.undistortion.undistort import UndistortionSummary, undistort
from d2sfm.workflow.output import GEOREFERENCED, REPORT
from d2sfm.workflow.values import ENABLED, RunValues

logger = logging.getLogger(__name__)


def georeference_first(
    model: Path | None, database: Path, output: Path, values: RunValues
) -> tuple[GeoreferenceResult | None, dict[str, str]]:
    """The georeferenced first model, in a folder of the output.

    None if it is not requested, without a model, or if it fails, with the reason in words by the stage's name, and in
    the log: the hours before are not lost for that.
    """
    if model is None or not values.stages["georeference"][ENABLED]:
        return None, {}
    options = values.of("georeference", GeoreferenceOptions)
    try:
        return georeference_model(model, output / GEOREFERENCED, database=database, options=options), {}
    except (ValueError, RuntimeError) as error:
        logger.warning("not georeferenced: %s", first_line(error))
        return None, {"georeference": first_line(error)}


def undistort_first(
    model: Path | None, photographs: Path, output: Path, values: RunValues, progress: bool
) -> UndistortionSummary | None:
    """The undistorted photographs of the first model, in a folder of the output, if a layout is requested."""
    options = values.of("undistort", UndistortionOptions)
    if model is None or options.layout is None:
        return None
    masks, limits = values.of("extract", MaskOptions), values.of("extract", PhotographOptions)
    settings = {"options": options, "masks": masks, "limits": limits, "progress": progress}
    return undistort(model, photographs, output / options.layout, overwrite=True, **settings)


def report_all(
    photographs: Path, database: Path, output: Path, progress: bool
) -> tuple[ReportResult | None, dict[str, str]]:
    """The page about all models, in the output; None if it can't be written, as ``georeference_first``."""
    try:
        return write_report(output, output / REPORT, database=database, images=photographs, progress=progress), {}
    except (ValueError, RuntimeError, OSError) as error:
        logger.warning("no report: %s", first_line(error))
        return None, {"report": first_line(error)}
