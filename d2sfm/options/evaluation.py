"""Options of evaluations on pairs of pictures."""

from dataclasses import dataclass

from d2sfm.options.choices import PairHalf
from d2sfm.options.fields import Options, option
from d2sfm.options.matching import MatchingOptions


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(Options):
    """What is compared, and which errors a homography that is estimated allows."""

    TITLE = "what is compared, and errors that a homography allows"

    refine: bool = option(True, help="leave out matches that are refined where they agree with a homography")
    sift: bool = option(True, help="leave out RootSIFT, of 8000 features")
    # Those of verification, before and after refinement.
    max_error: float = option(8.0, metavar="PX", help="largest error of matches, in pixels of the network's input")
    refined_error: float = option(2.0, metavar="PX", help="the same of those that are refined")

    def _check(self):
        self._require_above_zero("max_error", "refined_error")


@dataclass(frozen=True, kw_only=True)
class PairEvaluationOptions(Options):
    """Which pairs, and how matches and geometry follow from features."""

    TITLE = "matches and geometry of pairs"

    half: PairHalf | None = option(
        None, help="every other pair only, from the first or the second one on: settings are chosen on one half"
    )
    # Chosen on the first half of WxBS pairs, see benchmarks/NOTES.md.
    max_error: float = option(4.0, metavar="PX", help="threshold of RANSAC, in pixels of the network's input")
    ratio: float | None = option(None, help="largest ratio of the best to the second best distance, both ways")
    guided: bool = option(False, help="match again near the geometry, and estimate again")
    sift: bool = option(True, help="leave out SIFT, with which D2 is compared")

    def _check(self):
        self._require_above_zero("max_error")
        MatchingOptions(ratio=self.ratio)
