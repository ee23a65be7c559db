"""Options of evaluation on hard pairs."""

from dataclasses import dataclass

from d2sfm.options.choices import PairHalf
from d2sfm.options.fields import Options, option
from d2sfm.options.matching import MatchingOptions


@dataclass(frozen=True, kw_only=True)
class PairEvaluationOptions(Options):
    """How the matches of a pair are made and estimated from, besides the features."""

    TITLE = "matches and geometry of pairs"

    half: PairHalf | None = option(
        None, help="every other pair only, from the first or the second one on: settings are chosen on one half"
    )
    max_error: float = option(2.0, metavar="PX", help="threshold of MAGSAC++, in pixels of the network input")
    ratio: float | None = option(None, help="largest ratio of the best to the second best distance, both ways")
    guided: bool = option(False, help="match again near the geometry, and estimate again")
    sift: bool = option(True, help="leave out SIFT, with which D2 is compared")

    def _check(self):
        self._require_above_zero("max_error")
        MatchingOptions(ratio=self.ratio)
