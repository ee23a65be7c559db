"""The summary of a run of extraction."""

import time
from dataclasses import dataclass, field

from d2sfm.notebook import Displayed
from d2sfm.skipped import Skipped
from d2sfm.text import counted


@dataclass(kw_only=True)
class ExtractionSummary(Displayed):
    """What a run did; ``skipped`` holds the reason for each photograph that could not be used. Names are in order."""

    extracted: int = 0
    already_there: int = 0
    keypoints: int = 0
    without_keypoints: list[str] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Skipped)
    seconds: float = 0.0

    @classmethod
    def of(
        cls, names: list[str], pending: int, keypoints: dict[str, int], skipped: Skipped, started: float
    ) -> "ExtractionSummary":
        """Of photographs in the order of ``names``, ``pending`` of them to be extracted, by time.perf_counter().

        keypoints: numbers by name, of the extracted photographs.
        """
        return cls(
            extracted=len(keypoints),
            already_there=len(names) - pending,
            keypoints=sum(keypoints.values()),
            without_keypoints=[name for name in names if keypoints.get(name) == 0],
            skipped=Skipped({name: skipped[name] for name in names if name in skipped}),
            seconds=time.perf_counter() - started,
        )

    def __str__(self) -> str:
        text = f"extract: {counted(self.extracted, 'photograph')}, {counted(self.keypoints, 'keypoint')} in "
        text += f"{self.seconds:.1f} s"
        text += f", {self.already_there} there already" if self.already_there else ""
        text += f", {len(self.without_keypoints)} without any keypoint" if self.without_keypoints else ""
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")
