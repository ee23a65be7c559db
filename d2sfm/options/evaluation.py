"""Options of evaluations on pairs of pictures of a plane."""

from dataclasses import dataclass

from d2sfm.options.fields import Options, option


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
