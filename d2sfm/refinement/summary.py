"""What a run of refinement did, in numbers and in a line."""

from dataclasses import dataclass

from d2sfm.matching.settings import UNREFINED, Threshold, of_unrefined
from d2sfm.notebook import Displayed
from d2sfm.text import counted


@dataclass(kw_only=True)
class RefinementSummary(Displayed):
    """What a run of ``refine_database`` did. Moves are in pixels of the network's input."""

    images: int = 0  # whose keypoints were aligned, of the last round; 0 where all were refined already
    tracks: int = 0
    moved: int = 0  # keypoints that were aligned with their track's reference
    median_move_px: float = 0.0
    staying: int | None = None  # keypoints near the new ones that stay as a run before left them; None without new ones
    exact: int | None = None  # of these, that grey values agree with; None if these were not looked at
    outliers: int = 0  # of these, that are left out of their tracks
    continued: int = 0  # keypoints added to images where a track had none
    verified: int = 0  # pairs with a geometry that the refined keypoints agree with
    pairs: int = 0
    already_verified: int = 0  # of these, that were so before the run
    alignment_s: float = 0.0  # of all rounds, with those of all shares or workers together, as the next two
    grey_s: float = 0.0  # with what was added
    verification_s: float = 0.0
    threshold: Threshold | None = None  # within which they agree, where the keypoints of both images are refined
    unrefined: int = 0  # images in verified pairs that came later, or whose photographs are missing
    threshold_of_unrefined: Threshold | None = None  # of pairs with these; None without any
    skipped: int = 0  # images and pairs that could not be verified, as their rows can't be used

    def __str__(self) -> str:
        text = (
            f"{counted(self.moved, 'keypoint')} of {counted(self.tracks, 'track')} in {counted(self.images, 'image')} "
            f"moved by {self.median_move_px:.2f} px of the input (median) in {self.alignment_s:.1f} s"
        )
        if self.exact is not None:
            text += f", {self.exact} of them exact by grey values in {self.grey_s:.1f} s"
        if self.outliers:
            text += f", {self.outliers} left out of their tracks"
        if self.continued:
            text += f", {self.continued} added where these tracks continue"
        if self.staying is not None:
            times = 1 + self.staying / max(self.moved, 1)
            text += (
                f"; not aligned again: {counted(self.staying, 'keypoint')} refined before (d2sfm refine --overwrite "
            )
            text += f"aligns these, too, in about {times:.0f} times the time)"
        text = text if self.images else "keypoints are refined already"
        within = f"within {self.threshold}"
        if self.unrefined:
            within += of_unrefined(self.threshold_of_unrefined, counted(self.unrefined, UNREFINED))
        if self.already_verified == self.pairs:
            return f"refine: {text}, all pairs are verified already {within}"
        verified = f"{self.verified} of {counted(self.pairs, 'pair')} verified again {within}"
        return f"refine: {text}, {verified} in {self.verification_s:.1f} s"
