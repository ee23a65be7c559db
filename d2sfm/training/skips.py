"""Which pairs of a run could not be used, and why."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from d2sfm.training.dataset import Batch

logger = logging.getLogger(__name__)


class SkipReport:
    """Unusable pairs: their number by reason, and the errors of broken files.

    told: broken files that the log has already named, shared by the reports of a run.
    """

    IN_JSON: ClassVar = {"reasons": dict[str, int]}

    def __init__(self, told: set[str] | None = None):
        self.told = set() if told is None else told
        self.reasons: Counter[str] = Counter()
        self.broken: dict[str, None] = {}  # in order, each once

    @classmethod
    def together(cls, reports: Iterable["SkipReport"]) -> "SkipReport":
        """Several reports in one."""
        everything = cls()
        for report in reports:
            everything.reasons += report.reasons
            everything.broken |= report.broken
        return everything

    def note(self, batches: Sequence[Batch]) -> None:
        """Count what the batches leave out; a broken file is logged at once, as it may be worth stopping the run."""
        for pair in (pair for batch in batches for pair in batch.skipped):
            self.reasons[pair.reason] += 1
            if pair.broken:
                self.broken[pair.broken] = None
            if pair.broken and pair.broken not in self.told:
                self.told.add(pair.broken)
                logger.warning("pairs with this file are skipped: %s", pair.broken)

    def __str__(self) -> str:
        return ", ".join(f"{count} with {reason}" for reason, count in sorted(self.reasons.items()))
