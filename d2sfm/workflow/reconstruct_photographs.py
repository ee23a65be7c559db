"""A model from a folder of photographs, all stages in order.

d2sfm run photos
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from d2sfm.colmap import read_model
from d2sfm.database import FeatureStore
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.georeference.result import GeoreferenceResult
from d2sfm.mapping.extend import ExtensionResult
from d2sfm.mapping.reconstruct import ReconstructionResult
from d2sfm.matching.summary import MatchSummary
from d2sfm.notebook import Displayed
from d2sfm.options import ExtractionOptions, Layout, MatchingOptions, Quality, RefinementOptions
from d2sfm.photographs.reading import require_photographs
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.report.report import ReportResult
from d2sfm.shards.cluster import Cluster
from d2sfm.skipped import Skipped
from d2sfm.text import counted, first_of
from d2sfm.undistortion.undistort import UndistortionSummary
from d2sfm.workflow.by_cluster import stage_functions
from d2sfm.workflow.grown import in_other_models, names_of, remove_gone
from d2sfm.workflow.inputs import require_inputs, require_places, require_two
from d2sfm.workflow.output import DATABASE, begin_output
from d2sfm.workflow.stages import Stages
from d2sfm.workflow.times import Times
from d2sfm.workflow.values import run_values


@dataclass(frozen=True, kw_only=True)
class RunResult(Displayed):
    """The results of the stages, None for a stage that had nothing to do."""

    photographs: Path  # folder
    output: Path  # folder of run.toml, db.db and sparse
    extraction: ExtractionSummary
    matching: MatchSummary | None
    refinement: RefinementSummary | None
    reconstruction: ReconstructionResult | None
    extension: ExtensionResult | None = None  # of the model that an earlier run made, instead of a reconstruction
    further_extensions: tuple[ExtensionResult, ...] = ()  # of its other models, which share pairs with what is left
    removed: tuple[str, ...] = ()  # images whose photographs are gone since an earlier run
    georeference: GeoreferenceResult | None  # of the first model
    undistortion: UndistortionSummary | None  # the same
    report: ReportResult | None  # of all models
    total: int  # photographs
    left_out: tuple[str, ...]  # of these, those that are not in the first model, sorted
    in_others: tuple[str, ...] = ()  # of those, the ones that another model has
    not_done: Mapping[str, str]  # stages that were asked for and could not be, with the reason

    @property
    def skipped(self) -> Skipped:
        """Photographs and pairs that could not be used, with the reason."""
        others = [summary.skipped for summary in (self.matching, self.undistortion) if summary]
        return Skipped({name: why for found in (self.extraction.skipped, *others) for name, why in found.items()})

    @property
    def is_whole(self) -> bool:
        """Whether a model was made, and every row of the database was usable."""
        made = self.extension or self.reconstruction
        passed_over = made.unusable or (self.refinement and self.refinement.skipped)
        return _best(self.extension, self.reconstruction) is not None and not passed_over and not self.not_done

    def __str__(self) -> str:
        mapped = [self.extension or self.reconstruction, *self.further_extensions]
        made = [*mapped, self.georeference, self.undistortion, self.report]
        lines = [*made, self._sentence()]
        return "\n".join(str(line) for line in lines if line is not None)

    def _picture(self) -> bytes | None:
        from d2sfm.plots.reconstruction import model_png  # notebooks alone need it

        model = _best(self.extension, self.reconstruction)
        return model and model_png(model)

    def _sentence(self) -> str:
        if (model := _best(self.extension, self.reconstruction)) is None:
            return f"run: no model of {counted(self.total, 'photograph')}; finished work is in {self.output}"
        paths = {"import": model, "database": self.output / DATABASE, "image": self.photographs}
        arguments = " ".join(f"--{name}_path {shlex.quote(str(path))}" for name, path in paths.items())
        placed = f"{self.total - len(self.left_out)} of {counted(self.total, 'photograph')}"
        page = f"open {self.report.output}, or " if self.report else ""
        text = f"run: {model} has {placed}; {page}look at it with colmap gui {arguments}"
        if not self.left_out:
            return text
        if self.extension:
            rest = [name for name in self.left_out if name not in self.in_others]
            text += f"; in other models: {first_of(self.in_others, 'photograph')}" if self.in_others else ""
            return f"{text}; not in it: {first_of(rest, 'photograph')}, for the reasons above" if rest else text
        rest = first_of(self.left_out, "photograph")
        if self.extraction.skipped.keys() >= set(self.left_out):
            return f"{text}; not in it: {rest}, which could not be used"
        if self.reconstruction.causes:
            return f"{text}; not in it: {rest}, see the likely causes above"
        return f"{text}; not in it: {rest}; try photographs between those and the rest, or a higher --quality"


def reconstruct_photographs(
    photographs: Path | str,
    output: Path | str | None = None,
    *,
    quality: Quality | str | None = None,
    config: Path | str | dict | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    georeferenced: bool = False,
    layout: Layout | str | None = None,
    progress: bool = False,
    cluster: Cluster | None = None,
) -> RunResult:
    """Extract, match, refine and reconstruct the photographs below a folder, all into ``output``.

    output: gets ``run.toml`` with the values of all options, ``db.db`` and the models ``sparse``/0, 1, ..., best first
    (default: PHOTOGRAPHS-model in the current folder), and, with georeferenced, the first model at its place in
    ``georeferenced``. layout: the program for which the first model (georeferenced if requested) and undistorted
    photographs are also written, into ``output``/<layout>. quality, config, seed, num_threads: see
    ``values.run_values``.

    Finished work of a stopped run is kept. Photographs added since are placed in the model of an earlier run, which is
    adjusted with them and stays in its frame; missing ones are removed from the database and the models.

    Raises FileNotFoundError or ValueError for a folder that is missing or holds no photographs, for an output inside
    it or that holds a database or models of something else, for files of pairs that are missing, and for a wrong
    configuration; RuntimeError if the output was made with other values or photographs (see ``output.begin_output``),
    fewer than two photographs can be used, or more than half are gone; and as the stages do.
    """
    values = run_values(quality, config, seed=seed, num_threads=num_threads, georeferenced=georeferenced, layout=layout)
    photographs = Path(photographs)
    output = Path(f"{photographs.resolve().name}-model") if output is None else Path(output)
    require_photographs(photographs)
    require_inputs(values)
    require_places(values, output)
    for stage, kind in (("extract", ExtractionOptions), ("match", MatchingOptions), ("refine", RefinementOptions)):
        if cluster is not None:
            cluster.require_device(values.of(stage, kind).device)
    begin_output(photographs, output, values)
    stages = Stages(
        photographs=photographs,
        output=output,
        values=values,
        times=Times(output, values),
        functions=stage_functions(cluster),
        progress=progress,
    )
    return _result_of(stages)


def _result_of(stages: Stages) -> RunResult:
    """The result of all stages, done one after the other."""
    removed = remove_gone(stages.database, stages.photographs, stages.models)
    extraction = stages.extract()
    require_two(stages.database, stages.photographs, extraction.skipped)
    matching = stages.match()
    refinement = stages.refine()
    extensions, reconstruction = stages.reconstruct()
    extension, *further = extensions or [None]
    model = _best(extension, reconstruction)
    placed, not_done = stages.georeference(model)
    report, no_report = stages.report()
    undistorted, not_undistorted = stages.undistort(placed.output if placed else model)
    names = _names(stages.database, extraction.skipped)
    left_out = names - (names_of(read_model(model)) if model else set())
    return RunResult(
        photographs=stages.photographs,
        output=stages.output,
        extraction=extraction,
        matching=matching,
        refinement=refinement,
        reconstruction=reconstruction,
        extension=extension,
        further_extensions=tuple(further),
        removed=removed,
        georeference=placed,
        undistortion=undistorted,
        total=len(names),
        left_out=tuple(sorted(left_out)),
        in_others=tuple(sorted(left_out & in_other_models(stages.models, model))),
        report=report,
        not_done={**not_done, **no_report, **not_undistorted},
    )


def _names(database: Path, skipped: Skipped) -> set[str]:
    """The names of all photographs, those that can't be used among them."""
    with FeatureStore(database) as features:
        return {*features.images(), *skipped}


def _best(extension: ExtensionResult | None, reconstruction: ReconstructionResult | None) -> Path | None:
    """The folder of the first model."""
    return extension.model if extension else next(iter(reconstruction.models), None)
