"""When mapping makes no further start."""

import math
import time

from d2sfm.mapping.one_run import MappingInput
from d2sfm.mapping.outcome import Outcome
from d2sfm.options import ReconstructionOptions

FRUITLESS = 4  # further starts with known cameras, one after the other
MOST_SECONDS = 1 << 30  # that pycolmap is told
FURTHER_S = 600.0  # that further starts have where the user gives no time budget


class StoppingRule:
    """When no further start is made.

    With estimated focal lengths there are options.min_starts or more. Starts continue while the best model leaves
    connected images without support, to options.max_starts or the end of the time budget. If all cameras are known,
    they end when four in a row gain nothing.

    A start of a large set takes hours, and half of one is worthless: a start begins only if as much time is left as the
    kept one took. Without a budget of the user starts continue until there is a model, and none is stopped before there
    is one of most images.
    """

    def __init__(self, given: MappingInput, options: ReconstructionOptions, end: float | None = None):
        """end: of the time, of ``time.perf_counter``, also without a model; None: the time begins now."""
        self._given, self._options = given, options
        self._needs_model = end is None and options.time_budget is None
        self.end = time.perf_counter() + (options.time_budget or FURTHER_S) if end is None else end
        self.least = min(options.min_starts, options.max_starts) if given.is_estimated else 1

    def of_rest(self) -> "StoppingRule":
        """The rule with the time that images have which the best model lacks: what is left of the user's budget, or as
        much as further starts have without one."""
        return StoppingRule(self._given, self._options, None if self._options.time_budget is None else self.end)

    @property
    def is_over(self) -> bool:
        """Whether the time is."""
        return self._seconds_left() <= 0

    def most_seconds(self, outcome: Outcome) -> int | None:
        """The most seconds of the next start, see ``Trial``."""
        if self._options.time_budget is None and not self._is_of_most(outcome):
            return None
        return self.whole_seconds_left()

    def whole_seconds_left(self, at_least: float = 1.0) -> int:
        """The seconds that the time budget leaves, for pycolmap, to which 0 is no limit."""
        return math.ceil(min(max(self._seconds_left(), at_least), MOST_SECONDS))

    def ends(self, outcome: Outcome, runs: int, pairs: int) -> bool:
        """Whether the outcome of ``runs`` runs, with a choice of ``pairs`` initial pairs, is the last."""
        most = self._options.max_starts
        is_last = outcome.found >= most or runs >= max(most, 1 + pairs)
        return is_last or self._is_late(outcome) or self._is_enough(outcome)

    def _is_late(self, outcome: Outcome) -> bool:
        if outcome.kept is None and self._needs_model:
            return False
        return self._seconds_left() <= (outcome.kept.seconds if self._is_of_most(outcome) else 0.0)

    def _seconds_left(self) -> float:
        return self.end - time.perf_counter()

    def _is_of_most(self, outcome: Outcome) -> bool:
        return outcome.kept is not None and 2 * outcome.kept.best.supported >= self._given.connected

    def _is_enough(self, outcome: Outcome) -> bool:
        is_whole = outcome.kept is not None and outcome.kept.best.supported >= self._given.connected
        gains_nothing = not self._given.is_estimated and outcome.fruitless >= FRUITLESS
        return outcome.found >= self.least and (is_whole or gains_nothing)
