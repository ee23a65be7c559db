"""The summary of a run of matching."""

from dataclasses import dataclass, field

from d2sfm.notebook import Displayed
from d2sfm.skipped import Skipped
from d2sfm.text import counted


@dataclass(kw_only=True)
class MatchSummary(Displayed):
    """Results of ``match_database``. Its seconds are those of all threads together."""

    pairs: int  # asked for
    already_there: int  # of these, passed over
    matches: int = 0  # of the pairs of this run
    verified: int | None  # pairs of this run with min_num_inliers or more; None if verification was off
    refused: int = 0  # pairs of this run without geometry in spite of their inliers, as chance explains them
    matching_s: float = 0.0
    verification_s: float = 0.0
    skipped: Skipped = field(default_factory=Skipped)  # images, and pairs 'a - b', whose rows can't be used

    def __str__(self) -> str:
        text = f"match: {counted(self.pairs - self.already_there, 'pair')}, {counted(self.matches, 'match')} in "
        text += f"{self.matching_s:.1f} s"
        if self.verified is not None:
            text += f", {counted(self.verified, 'pair')} verified in {self.verification_s:.1f} s"
        refused = f", {self.refused} rejected as chance explains them" if self.refused else ""
        there = f", {counted(self.already_there, 'pair')} there already" if self.already_there else ""
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"{text} (all threads){refused}{there}{skipped}"
