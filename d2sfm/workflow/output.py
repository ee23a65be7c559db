"""The output folder of a run: whether it may be written, and the values it is made with."""

import logging
from pathlib import Path

from d2sfm.database import FeatureStore
from d2sfm.extraction.pending import require_noted_folder
from d2sfm.report.history import CONFIG
from d2sfm.report.models import MODELS
from d2sfm.workflow.values import RunValues, run_values

DATABASE, REPORT = "db.db", "report.html"  # the other names are the report's, which looks for them

logger = logging.getLogger(__name__)


def begin_output(photographs: Path, output: Path, values: RunValues) -> None:
    """Make the output with the values of this run, or check that it was made with the same ones.

    Values of stages without results in it may differ, so a run continues after a correction, and so may those that
    change no result, as the device: another machine continues. Raises ValueError for an
    output inside the photographs or of another kind, RuntimeError for other values and for other photographs.
    """
    noted = output / CONFIG
    if output.resolve().is_relative_to(photographs.resolve()):
        raise ValueError(f"{output} lies inside of the photographs {photographs}: give an --output outside of it")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder for the model")
    if noted.exists():
        _continue(photographs, output, values)
        return
    for name in (DATABASE, MODELS):  # other files may be there, and stay
        if (output / name).exists():
            raise ValueError(f"{output} holds {name}, and no {CONFIG} of a run: give another --output")
    output.mkdir(parents=True, exist_ok=True)
    values.write(noted)


def _continue(photographs: Path, output: Path, values: RunValues) -> None:
    noted = output / CONFIG
    before = run_values(config=noted)
    if difference := values.difference(before, _begun(output)):
        raise RuntimeError(
            f"{output} was made with other values than {difference}: give another --output, or continue with --config "
            f"{noted}"
        )
    if (output / DATABASE).exists():
        require_noted_folder(output / DATABASE, photographs)
    if difference := values.difference(before):
        logger.info("new values, which change no finished work: %s", difference)
        values.write(noted)


def _begun(output: Path) -> set[str]:
    """The stages with results in the output."""
    if not (output / DATABASE).exists():
        return set()
    with FeatureStore(output / DATABASE) as features:
        found = {
            "extract": bool(features.images()),  # their cameras are there before their features
            "match": features.has_pairs(),
            "refine": bool(features.notes.refinement()),
            "reconstruct": (output / MODELS).exists(),
        }
    return {stage for stage, is_there in found.items() if is_there}
