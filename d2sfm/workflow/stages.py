"""The stages of a run, each with its options, its time, and a line in the log."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from d2sfm.database import FeatureStore
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.georeference.georeference import georeference_model
from d2sfm.georeference.result import GeoreferenceResult
from d2sfm.mapping.extend import ExtensionResult
from d2sfm.mapping.reconstruct import ReconstructionResult, reconstruct
from d2sfm.matching.summary import MatchSummary
from d2sfm.options import (
    CameraOptions,
    ExtractionOptions,
    GeoreferenceOptions,
    MapCacheOptions,
    MaskOptions,
    MatchingOptions,
    PairSelectionOptions,
    PhotographOptions,
    ReconstructionOptions,
    RefinementOptions,
    StorageOptions,
    UndistortionOptions,
    VerificationOptions,
)
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.report.models import GEOREFERENCED, MODELS
from d2sfm.report.report import ReportResult, write_report
from d2sfm.text import first_line
from d2sfm.undistortion.undistort import UndistortionSummary, undistort
from d2sfm.workflow.by_cluster import StageFunctions
from d2sfm.workflow.grown import extended
from d2sfm.workflow.output import DATABASE, REPORT
from d2sfm.workflow.refine_first import refine_first
from d2sfm.workflow.times import Times
from d2sfm.workflow.values import ENABLED, ONLY, RunValues

Summary = TypeVar("Summary", ExtractionSummary, MatchSummary, RefinementSummary | None)
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """A run of these photographs into this output: a method for each stage, to be called in this order."""

    photographs: Path
    output: Path
    values: RunValues
    times: Times
    functions: StageFunctions  # what does the long work
    progress: bool

    @property
    def database(self) -> Path:
        return self.output / DATABASE

    @property
    def models(self) -> Path:
        """The folder of all models."""
        return self.output / MODELS

    def extract(self) -> ExtractionSummary:
        """What ``extract_to_database`` did."""
        of_extraction = partial(self.values.of, "extract")
        with self.times.of("extract"):
            summary = self.functions.extract(
                self.database,
                self.photographs,
                options=of_extraction(ExtractionOptions),
                cameras=of_extraction(CameraOptions),
                storage=of_extraction(StorageOptions),
                masks=of_extraction(MaskOptions),
                cache=of_extraction(MapCacheOptions),
                limits=of_extraction(PhotographOptions),
                only=self.values.stages["extract"][ONLY],
                progress=self.progress,
            )
        return _told(summary)

    def match(self) -> MatchSummary | None:
        """None if keypoints are refined and no photograph is new."""
        with FeatureStore(self.database) as features:
            if features.notes.refinement() and not features.later():
                return None  # what a stopped run has left is refinement's: rounds, and pairs to verify
        with self.times.of("match"):
            summary = self.functions.match(
                self.database,
                options=self.values.of("match", MatchingOptions),
                verification=self.values.of("match", VerificationOptions),
                pairs=self.values.of("match", PairSelectionOptions),
                progress=self.progress,
            )
        return _told(summary)

    def refine(self) -> RefinementSummary | None:
        """None if it can't be done, see ``refine_first``."""
        with FeatureStore(self.database) as features:
            is_refined = bool(features.notes.refinement())
        refine = self.functions.refine if is_refined else partial(refine_first, by=self.functions.refine)
        options, cache = self.values.of("refine", RefinementOptions), self.values.of("refine", MapCacheOptions)
        with self.times.of("refine"):
            return _told(refine(self.database, self.photographs, options=options, cache=cache, progress=self.progress))

    def reconstruct(self) -> tuple[list[ExtensionResult], ReconstructionResult | None]:
        """One of both: the models of an earlier run are extended, or all photographs are mapped."""
        options = self.values.of("reconstruct", ReconstructionOptions)
        settings = {"images": self.photographs, "options": options, "progress": self.progress}
        with self.times.of("reconstruct"):
            extensions = extended(self.database, self.models, **settings)
            return extensions, None if extensions else reconstruct(self.database, self.models, **settings)

    def georeference(self, model: Path | None) -> tuple[GeoreferenceResult | None, dict[str, str]]:
        """The georeferenced first model, in a folder of the output.

        None if it is not requested, without a model, or if it fails, see ``_attempt``.
        """
        with self.times.listed("georeference"):
            if model is None or not self.values.stages["georeference"][ENABLED]:
                return None, {}
            settings = {"database": self.database, "options": self.values.of("georeference", GeoreferenceOptions)}
            work = partial(georeference_model, model, self.output / GEOREFERENCED, **settings)
            return _attempt("georeference", "not georeferenced", work)

    def report(self) -> tuple[ReportResult | None, dict[str, str]]:
        """The page about all models, in the output; None if it can't be written, see ``_attempt``."""
        settings = {"database": self.database, "images": self.photographs, "progress": self.progress}
        with self.times.listed("report"):
            work = partial(write_report, self.output, self.output / REPORT, **settings)
            return _attempt("report", "no report", work)

    def undistort(self, model: Path | None) -> tuple[UndistortionSummary | None, dict[str, str]]:
        """The undistorted photographs of the first model, in a folder of the output.

        None if no layout is requested, without a model, or if it fails, see ``_attempt``.
        """
        options = self.values.of("undistort", UndistortionOptions)
        with self.times.listed("undistort"):
            if model is None or options.layout is None:
                return None, {}
            settings = {
                "options": options,
                "masks": self.values.of("extract", MaskOptions),
                "limits": self.values.of("extract", PhotographOptions),
                "update": True,
                "progress": self.progress,
            }
            work = partial(undistort, model, self.photographs, self.output / options.layout, **settings)
            return _attempt("undistort", "not undistorted", work)


def _attempt(stage: str, lacking: str, work: Callable[[], Result]) -> tuple[Result | None, dict[str, str]]:
    """The result of a stage that comes after the model.

    None if it fails, with the reason in words by the stage's name, and in the log behind what is lacking: the hours
    before are not lost for that.
    """
    try:
        return work(), {}
    except (ValueError, RuntimeError, OSError) as error:
        logger.warning("%s: %s", lacking, first_line(error))
        return None, {stage: first_line(error)}


def _told(summary: Summary) -> Summary:
    """The summary of a stage, written to the log."""
    if summary is not None:
        logger.info("%s", summary)
    return summary
