"""The record of a training run: losses and figures as CSV files, and for TensorBoard if it is installed.

Light on purpose: torch is only imported for TensorBoard.
"""

import csv
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from d2sfm.files import replacing_file

STEPS, EPOCHS, EVALUATIONS, EVENTS = "steps.csv", "epochs.csv", "evaluations.csv", "tensorboard"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """One step of the optimiser."""

    step: int  # counted from 1, over all epochs
    epoch: int  # counted from 1
    loss: float  # mean over the step's pairs, NaN where all were skipped
    pairs: int  # those that were trained on
    skipped: int
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch and the validation after it; epoch 0 is the validation before the first."""

    epoch: int
    step: int  # steps done when the epoch ended
    training_loss: float | None  # None for epoch 0
    validation_loss: float | None  # None without validation
    pairs: int
    skipped: int
    validation_pairs: int
    validation_skipped: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """One figure of an evaluation after an epoch."""

    epoch: int
    step: int  # steps done when the epoch ended
    evaluation: str
    figure: str
    value: float


class LossRecord(AbstractContextManager):
    """Writes ``steps.csv``, ``epochs.csv`` and, with evaluations, ``evaluations.csv`` in a folder, a row at a time,
    each to the disk at once.

    folder: created if missing. resume_step: None starts again and replaces the files of an earlier run; k continues
    after step k, and rows of later steps, which a killed run wrote after its last checkpoint, are dropped, as is an
    incomplete last line. tensorboard: whether to also write event files in ``folder/tensorboard``, if it is installed.

    Raises ValueError for a negative resume_step, and for a file that is not such a record.
    """

    def __init__(self, folder: Path | str, resume_step: int | None = None, tensorboard: bool = True):
        if resume_step is not None and resume_step < 0:
            raise ValueError(f"resume_step must be 0 or more, found {resume_step}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._steps, self._epochs = _Table(folder / STEPS, StepRow), _Table(folder / EPOCHS, EpochRow)
        self._evaluations = _Table(folder / EVALUATIONS, EvaluationRow)
        tables = (self._steps, self._epochs)
        for table in tables:
            if resume_step and not table.path.exists():
                logger.warning("%s is missing: the record begins after step %d", table.path, resume_step)
        kept = [[] if resume_step is None else table.read(up_to=resume_step) for table in tables]
        if resume_step is None:
            for events in (folder / EVENTS).glob("events.out.tfevents.*"):
                events.unlink()
        evaluations = [] if resume_step is None else self._evaluations.read(up_to=resume_step)
        for table, rows in zip(tables, kept, strict=True):
            table.begin(rows)
        if self._evaluations.path.exists():  # most runs have none
            self._evaluations.begin(evaluations)
        self._writer = _summary_writer(folder / EVENTS, resume_step) if tensorboard else None

    def step(self, **columns: float) -> None:
        """Append a row to ``steps.csv``: all columns of ``StepRow``, by name."""
        row = StepRow(**columns)
        self._steps.append(row)
        self._plot("loss/training", row.loss, row.step)
        self._plot("pairs/skipped", row.skipped, row.step)

    def epoch(self, **columns: float | None) -> None:
        """Append a row to ``epochs.csv``: all columns of ``EpochRow``, by name.

        A row of the same epoch is replaced: a run can be killed after it wrote the row and before its checkpoint.
        """
        row = EpochRow(**columns)
        before = self.epochs()
        if before and before[-1].epoch >= row.epoch:
            self._epochs.begin([earlier for earlier in before if earlier.epoch < row.epoch])
        self._epochs.append(row)
        self._plot("loss/validation", row.validation_loss, row.step)

    def evaluation(self, epoch: int, step: int, name: str, figures: Mapping[str, float]) -> None:
        """Write the figures of an evaluation into ``evaluations.csv``, a row each, replacing those of that epoch."""
        kept = [row for row in self.evaluations() if row.epoch < epoch or row.evaluation != name]
        common = {"epoch": epoch, "step": step, "evaluation": name}
        self._evaluations.begin([*kept, *(EvaluationRow(**common, figure=key, value=figures[key]) for key in figures)])
        for figure, value in figures.items():
            self._plot(f"{name}/{figure}", value, step)

    def steps(self) -> list[StepRow]:
        """All steps recorded so far, those before a resume included."""
        return self._steps.read()

    def epochs(self) -> list[EpochRow]:
        """All epochs recorded so far, those before a resume included."""
        return self._epochs.read()

    def evaluations(self) -> list[EvaluationRow]:
        """All figures of evaluations recorded so far, those before a resume included."""
        return self._evaluations.read()

    def close(self) -> None:
        """Close all files; rows can still be read."""
        for table in (self._steps, self._epochs, self._evaluations):
            table.close()
        if self._writer is not None:
            self._writer.close()

    def __exit__(self, *exception) -> None:
        self.close()

    def _plot(self, tag: str, value: float | None, step: int) -> None:
        if self._writer is not None and value is not None and math.isfinite(value):
            self._writer.add_scalar(tag, value, step)


def _summary_writer(folder: Path, resume_step: int | None) -> Any:
    """TensorBoard's writer, or None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        logger.info("no TensorBoard (%s): losses are in CSV files; to get it: pip install 'd2sfm[train]'", error)
        return None
    # TensorBoard hides what earlier event files hold at this step and later.
    return SummaryWriter(str(folder), purge_step=None if resume_step is None else resume_step + 1)


Row = TypeVar("Row", StepRow, EpochRow, EvaluationRow)


class _Table(Generic[Row]):
    """A CSV file, a dataclass for each row, with a column ``step`` that ascends."""

    def __init__(self, path: Path, row_type: type[Row]):
        self.path, self._row_type, self._stream = path, row_type, None
        self._columns = [field.name for field in fields(row_type)]
        self._parsers = [_PARSERS[field.type] for field in fields(row_type)]

    def read(self, up_to: int | None = None) -> list[Row]:
        """All rows, or those of steps ``up_to`` this; none without a file. An incomplete last line is left out."""
        if not self.path.exists():
            return []
        *lines, torn = self.path.read_text().split("\n")  # what follows the last line break is empty, or torn
        if torn:
            logger.warning("%s ends in an incomplete line, which is ignored", self.path)
        if not lines:
            return []
        header = ",".join(self._columns)
        if lines[0] != header:
            raise ValueError(
                f"{self.path} is not the record of a training run: expected the header {header}, found {lines[0]}"
            )
        rows = []
        for number, line in enumerate(lines[1:], start=2):
            try:
                values = [parse(text) for parse, text in zip(self._parsers, *csv.reader([line]), strict=True)]
            except (ValueError, csv.Error) as error:
                raise ValueError(f"{self.path}, line {number}: expected {header}, found {line!r}") from error
            rows.append(self._row_type(**dict(zip(self._columns, values, strict=True))))
        return [row for row in rows if up_to is None or row.step <= up_to]

    def begin(self, rows: list[Row]) -> None:
        """Replace all rows by these in one step, and open the file for more."""
        self.close()
        with replacing_file(self.path) as part, part.open("w") as stream:
            csv.writer(stream, lineterminator="\n").writerows([self._columns, *map(_numbers, rows)])
        self._stream = self.path.open("a")

    def append(self, row: Row) -> None:
        csv.writer(self._stream, lineterminator="\n").writerow(_numbers(row))
        self._stream.flush()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def _numbers(row: StepRow | EpochRow | EvaluationRow) -> list[float | str | None]:
    """The row's numbers as Python's own, which are written such that they read back the same; None is written empty."""
    kinds = [_WRITTEN[field.type] for field in fields(row)]
    return [value if value is None else kind(value) for kind, value in zip(kinds, astuple(row), strict=True)]


_WRITTEN: dict[Any, Callable[[Any], float | str]] = {int: int, float: float, float | None: float, str: str}
_PARSERS: dict[Any, Callable[[str], Any]] = {
    int: int,
    float: float,
    float | None: lambda text: float(text) if text else None,
    str: str,
}
