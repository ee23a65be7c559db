"""A folder of photographs to a model, all stages one after the other.

d2sfm run photos
"""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from d2sfm.colmap import read_model
from d2sfm.database import FeatureStore
from d2sfm.extraction.extract import extract_to_database
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.mapping.extend import ExtensionResult
from d2sfm.mapping.reconstruct import ReconstructionResult, reconstruct
from d2sfm.matching.match import match_database
from d2sfm.matching.summary import MatchSummary
from d2sfm.options import (
    CameraOptions,
    ExtractionOptions,
    MapCacheOptions,
    MaskOptions,
    MatchingOptions,
    PairSelectionOptions,
    PhotographOptions,
    Quality,
    ReconstructionOptions,
    RefinementOptions,
    StorageOptions,
    VerificationOptions,
)
from d2sfm.pairs.pair_files import require_pairs_file
from d2sfm.photographs.reading import require_photographs
from d2sfm.refinement.refine import refine_database, restore_database
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.skipped import Skipped
from d2sfm.text import first_of
from d2sfm.workflow.grown import extended, names_of, remove_gone
from d2sfm.workflow.output import DATABASE, MODELS, begin_output
from d2sfm.workflow.refine_first import refine_first
from d2sfm.workflow.values import ONLY, RunValues, run_values

Summary = TypeVar("Summary", ExtractionSummary, MatchSummary, RefinementSummary | None)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What the stages did. A stage that had nothing to do is None."""

    photographs: Path  # folder
    output: Path  # folder of run.toml, db.db and sparse
    extraction: ExtractionSummary
    matching: MatchSummary | None
    refinement: RefinementSummary | None
    reconstruction: ReconstructionResult | None
    extension: ExtensionResult | None = None  # of the model that an earlier run made, instead of a reconstruction
    removed: tuple[str, ...] = ()  # images whose photographs are gone since an earlier run
    total: int  # photographs
    left_out: tuple[str, ...]  # of these, those that are not in the first model, sorted

    @property
    def skipped(self) -> Skipped:
        """Photographs and pairs that could not be used, with the reason."""
        return Skipped(self.extraction.skipped | (self.matching.skipped if self.matching else {}))

    @property
    def is_whole(self) -> bool:
        """Whether there is a model, and nothing of the database had to be passed over."""
        made = self.extension or self.reconstruction
        passed_over = made.unusable or (self.refinement and self.refinement.skipped)
        return self._model() is not None and not passed_over

    def __str__(self) -> str:
        return f"{self.extension or self.reconstruction}\n{self._sentence()}"

    def _model(self) -> Path | None:
        """The folder of the best one."""
        return self.extension.model if self.extension else next(iter(self.reconstruction.models), None)

    def _sentence(self) -> str:
        if (model := self._model()) is None:
            return f"run: no model of {self.total} photographs; what is done is in {self.output}"
        paths = {"import": model, "database": self.output / DATABASE, "image": self.photographs}
        arguments = " ".join(f"--{name}_path {shlex.quote(str(path))}" for name, path in paths.items())
        text = f"run: {self.total - len(self.left_out)} of {self.total} photographs are in {model}; look at it with "
        text += f"colmap gui {arguments}"
        if not self.left_out:
            return text
        rest = first_of(self.left_out, "photograph")
        if self.extension:
            return f"{text}; not in it: {rest}, with the reasons above"
        if self.reconstruction.causes:
            return f"{text}; not in it: {rest}, see the likely causes above"
        return f"{text}; not in it: {rest}, try photographs between those and the rest, or a higher --quality"


def reconstruct_photographs(
    photographs: Path | str,
    output: Path | str | None = None,
    *,
    quality: Quality | str | None = None,
    config: Path | str | dict | None = None,
    seed: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> RunResult:
    """Extract, match, refine and reconstruct the photographs below a folder, all into ``output``.

    output: gets ``run.toml`` with the values of all options, ``db.db`` and the models ``sparse``/0, 1, ..., best first
    (default: PHOTOGRAPHS-model in the current folder). quality, config, seed, num_threads: see ``values.run_values``.

    What a stopped run did is not done again. Photographs that were added since are placed in the model of an earlier
    run, which is adjusted with them and stays where it was; those that are gone leave the database and the models.

    Raises FileNotFoundError or ValueError for a folder that is missing or holds no photographs, for an output inside
    it or that holds a database or models of something else, for files of pairs that are missing, and for a wrong
    configuration; RuntimeError where the output was made with other values (see ``output.begin_output``), fewer than
    two photographs can be used, or more than half are gone; and as the stages do.
    """
    photographs, values = Path(photographs), run_values(quality, config, seed=seed, num_threads=num_threads)
    output = Path(f"{photographs.resolve().name}-model") if output is None else Path(output)
    require_photographs(photographs)
    _require_inputs(values.of("match", PairSelectionOptions))
    begin_output(photographs, output, values)
    database = output / DATABASE
    removed = remove_gone(database, photographs, output / MODELS)
    extraction = _extracted(database, photographs, values, progress)
    _require_two(database, photographs, extraction.skipped)
    matching, refinement = _matched_and_refined(database, photographs, values, progress)
    options = values.of("reconstruct", ReconstructionOptions)
    settings = {"images": photographs, "options": options, "progress": progress}
    extension = extended(database, output / MODELS, **settings)
    reconstruction = None if extension else reconstruct(database, output / MODELS, **settings)
    with FeatureStore(database) as features:
        names = {*features.images(), *extraction.skipped}
    return RunResult(
        photographs=photographs,
        output=output,
        extraction=extraction,
        matching=matching,
        refinement=refinement,
        reconstruction=reconstruction,
        extension=extension,
        removed=removed,
        total=len(names),
        left_out=tuple(sorted(names - _registered(extension, reconstruction))),
    )


def _require_inputs(pairs: PairSelectionOptions) -> None:
    """FileNotFoundError, before the hours of extraction, for what pairs are chosen by and is not there."""
    if pairs.kind is None:
        require_pairs_file(pairs.pairs)
    for path, what in ((pairs.model, "COLMAP model"), (pairs.global_descriptors, "file of global descriptors")):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"no {what} {path}")


def _require_two(database: Path, photographs: Path, skipped: Skipped) -> None:
    """RuntimeError where fewer than two photographs have features; why others were skipped is in the log then."""
    with FeatureStore(database) as features:
        usable = len(features.extracted())
    if usable < 2:
        for name, reason in skipped.items():
            logger.warning("skipped %s: %s", name, reason)
        raise RuntimeError(f"{photographs} has {usable or 'no'} photograph that can be used, a model needs two or more")


def _extracted(database: Path, photographs: Path, values: RunValues, progress: bool) -> ExtractionSummary:
    summary = extract_to_database(
        database,
        photographs,
        options=values.of("extract", ExtractionOptions),
        cameras=values.of("extract", CameraOptions),
        storage=values.of("extract", StorageOptions),
        masks=values.of("extract", MaskOptions),
        cache=values.of("extract", MapCacheOptions),
        limits=values.of("extract", PhotographOptions),
        only=values.stages["extract"][ONLY],
        progress=progress,
    )
    return _told(summary)


def _matched_and_refined(
    database: Path, photographs: Path, values: RunValues, progress: bool
) -> tuple[MatchSummary | None, RefinementSummary | None]:
    with FeatureStore(database) as features:
        is_refined, unrefined = bool(features.notes.refinement()), features.unrefined()
    new = [name for name in unrefined if (photographs / name).exists()]
    if is_refined and new:
        logger.info("new since keypoints were refined, so that all are refined again: %s", first_of(new, "photograph"))
        restore_database(database, progress=progress)
        is_refined = False
    options, cache = values.of("refine", RefinementOptions), values.of("refine", MapCacheOptions)
    refining = {"options": options, "cache": cache, "progress": progress}
    if is_refined:  # what a stopped run has left: rounds, and pairs to verify
        return None, None if unrefined else _told(refine_database(database, photographs, **refining))
    matching = match_database(
        database,
        options=values.of("match", MatchingOptions),
        verification=values.of("match", VerificationOptions),
        pairs=values.of("match", PairSelectionOptions),
        progress=progress,
    )
    return _told(matching), _told(refine_first(database, photographs, **refining))


def _told(summary: Summary) -> Summary:
    """The summary of a stage, said in the log."""
    if summary is not None:
        logger.info("%s", summary)
    return summary


def _registered(extension: ExtensionResult | None, reconstruction: ReconstructionResult | None) -> set[str]:
    """Names of the images of the first model."""
    models = [extension.model] if extension else reconstruction.models
    return names_of(read_model(models[0])) if models else set()
