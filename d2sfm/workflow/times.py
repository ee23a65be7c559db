"""The stages of a run: which are done, which runs, which are to come, and how long they took.

Seconds are kept beside the run's database; over stopped runs they add up.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from d2sfm.files import replacing
from d2sfm.options import UndistortionOptions
from d2sfm.report.history import TIMES, read_times
from d2sfm.workflow.values import ENABLED, RunValues

logger = logging.getLogger(__name__)


class Times:
    """How long each stage of a run took; these values and this folder are the run's."""

    def __init__(self, output: Path, values: RunValues):
        self._path, self._stages = output / TIMES, _stages(values)
        self._seconds, self._done = read_times(output), {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time of the block to the stage, and write all times, also if it ends with an error."""
        with self.listed(stage):
            started = time.perf_counter()
            try:
                yield
            finally:
                self._seconds[stage] = round(self._seconds.get(stage, 0.0) + time.perf_counter() - started, 3)
                with replacing(self._path) as stream:
                    stream.write(json.dumps(self._seconds).encode())

    @contextmanager
    def listed(self, stage: str) -> Iterator[None]:
        """Log before the block which stage it is, which are done, and which are to come.

        A stage that is not requested is not named.
        """
        if stage not in self._stages:
            yield
            return
        place, started = self._stages.index(stage), time.perf_counter()
        done = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self._done.items())
        to_come = ", ".join(self._stages[place + 1 :])
        text = f"stage {place + 1} of {len(self._stages)}: {stage}" + (f"; done: {done}" if done else "")
        logger.info("%s", text + (f"; to come: {to_come}" if to_come else ""))
        yield
        self._done[stage] = time.perf_counter() - started


def _stages(values: RunValues) -> list[str]:
    """The stages in order; some may have nothing to do."""
    is_placed = values.stages["georeference"][ENABLED]
    is_undistorted = values.of("undistort", UndistortionOptions).layout is not None
    last = [*(["georeference"] if is_placed else []), "report", *(["undistort"] if is_undistorted else [])]
    return ["extract", "match", "refine", "reconstruct", *last]
