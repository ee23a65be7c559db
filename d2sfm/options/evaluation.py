"""Options of evaluations on pairs of pictures."""

from dataclasses import dataclass

from d2sfm.options.choices import PairHalf
from d2sfm.options.fields import Options, option
from d2sfm.options.matching import MatchingOptions


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(Options):
    """What is compared, and which errors a homography that is estimated allows."""

    TITLE = "what is compared, and the errors allowed"

    refine: bool = option(True, help="do not evaluate refined matches")
    sift: bool = option(True, help="do not evaluate RootSIFT (8000 features)")
    # Those of verification, before and after refinement.
    max_error: float = option(8.0, metavar="PX", help="largest error of matches, in pixels of the network's input")
    refined_error: float = option(
        2.0, metavar="PX", help="largest error of refined matches, in pixels of the network's input"
    )

    def _check(self):
        self._require_above_zero("max_error", "refined_error")


@dataclass(frozen=True, kw_only=True)
class PairEvaluationOptions(Options):
    """Which pairs, and how matches and geometry follow from features."""

    TITLE = "matches and geometry of pairs"

    half: PairHalf | None = option(
        None,
        help="only every other pair, from the first or second on: one half to choose settings, one to test (default: "
        "all pairs)",
    )
    # Chosen on the first half of WxBS pairs, see benchmarks/NOTES.md.
    max_error: float = option(4.0, metavar="PX", help="threshold of RANSAC, in pixels of the network's input")
    ratio: float | None = option(None, help="largest ratio of the best to the second best distance, both ways")
    guided: bool = option(False, help="match again near the geometry, then estimate it again")
    sift: bool = option(True, help="do not evaluate SIFT")

    def _check(self):
        self._require_above_zero("max_error")
        MatchingOptions(ratio=self.ratio)
