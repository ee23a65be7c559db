"""How long a stage will take, from its first items: said once, where that is long, with what shortens it."""

import logging
from time import perf_counter

AFTER_S = 30.0  # of work: the first items alone tell little
LONG_S = 600.0

logger = logging.getLogger(__name__)


class Estimate:
    """Of ``total`` items that are done one after the other.

    stage, unit: as in "match" and "pairs"; shorter: options that shorten it, in words.
    """

    def __init__(self, stage: str, total: int, unit: str, shorter: str):
        self._texts, self._total, self._done = (stage, unit, shorter), total, 0
        self._started, self._is_told = perf_counter(), False

    def update(self, count: int = 1) -> None:
        """``count`` more items are done."""
        self._done += count
        elapsed_s = perf_counter() - self._started
        if self._is_told or elapsed_s < AFTER_S or not self._done:
            return
        self._is_told = True
        left = self._total - self._done
        if (left_s := left * elapsed_s / self._done) >= LONG_S:
            stage, unit, shorter = self._texts
            logger.info("%s: about %s for the %d %s that are left; %s", stage, _words(left_s), left, unit, shorter)


def _words(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"
