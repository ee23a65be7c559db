"""How long the stages of a run took, kept beside its database; over stopped runs they add up."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from d2sfm.files import replacing
from d2sfm.report.history import TIMES, read_times


class Times:
    """Of a run into a folder."""

    def __init__(self, output: Path):
        self._path = output / TIMES
        self._seconds = read_times(output)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add what the block takes to the stage, and write all down, also where it ends with an error."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = round(self._seconds.get(stage, 0.0) + time.perf_counter() - started, 3)
            with replacing(self._path) as stream:
                stream.write(json.dumps(self._seconds).encode())
