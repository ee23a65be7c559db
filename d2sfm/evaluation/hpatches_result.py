"""Results of an evaluation on sequences of pictures of planes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.evaluation.homographies import ACCURACY_PX, CORNERS_PX, PairFigures
from d2sfm.text import aligned, counted

PLAIN, REFINED, SIFT = "D2", "D2, refined", "RootSIFT"
KINDS = {"i": "light", "v": "viewpoint"}  # by what a sequence's name begins with
ALL = "all"
SHOWN_PX = (1, 2, 3, 5, 10)
MOST_SEQUENCES = 8  # that are shown one by one


class SequenceFigures(NamedTuple):
    """Keypoints of each picture of a sequence, and figures of each pair."""

    features: Sequence[int]
    pairs: Sequence[PairFigures]


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """Means over pairs; those of features over pictures.

    accuracy: share of a pair's matches that are right within 1, 2, ... 10 px; homography: share of the pairs whose
    corners are within 1, 3 and 5 px, in the mean of the four, under the homography estimated from the matches.
    """

    pairs: int
    features: float
    matches: float
    accuracy: tuple[float, ...]
    homography: tuple[float, ...]

    @classmethod
    def of(cls, sequences: Iterable[SequenceFigures]) -> "GroupFigures":
        """Of one sequence or more, each pair with the same weight."""
        sequences = list(sequences)
        pairs = [pair for sequence in sequences for pair in sequence.pairs]
        corners = np.array([pair.corner_px for pair in pairs])
        return cls(
            pairs=len(pairs),
            features=float(np.mean([count for sequence in sequences for count in sequence.features])),
            matches=float(np.mean([pair.matches for pair in pairs])),
            accuracy=tuple(np.mean([pair.accuracy for pair in pairs], axis=0).tolist()),
            homography=tuple(float(np.mean(corners <= limit)) for limit in CORNERS_PX),
        )

    @property
    def cells(self) -> list[str]:
        """What the table shows."""
        shares = [*(self.accuracy[ACCURACY_PX.index(limit)] for limit in SHOWN_PX), *self.homography]
        return [f"{self.features:.0f}", f"{self.matches:.0f}", *(f"{share:.3f}" for share in shares)]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Features matched in one way.

    ratio: the largest of distances, None if all mutual nearest neighbours are matches; max_error: of the homography
    that is estimated, of D2 in pixels of the network's input. groups: "i", "v" and "all", as far as present;
    sequences: each by name.
    """

    name: str
    ratio: float | None
    max_error: float
    groups: Mapping[str, GroupFigures]
    sequences: Mapping[str, GroupFigures]

    @classmethod
    def of(cls, name: str, max_error: float, ratio: float | None, sequences: Mapping[str, SequenceFigures]) -> "Method":
        """From the figures of each sequence."""
        kinds = {kind: [each for name, each in sequences.items() if name.startswith(f"{kind}_")] for kind in KINDS}
        groups = {kind: members for kind, members in kinds.items() if members} | {ALL: list(sequences.values())}
        return cls(
            name=name,
            ratio=ratio,
            max_error=max_error,
            groups={kind: GroupFigures.of(members) for kind, members in groups.items()},
            sequences={name: GroupFigures.of([figures]) for name, figures in sequences.items()},
        )

    def homographies(self) -> float:
        """Share of correct homographies, in the mean over the limits."""
        return float(np.mean(self.groups[ALL].homography))

    @property
    def label(self) -> str:
        """The name, with the ratio if any."""
        return self.name if self.ratio is None else f"{self.name}, ratio {self.ratio:g}"


@dataclass(frozen=True, kw_only=True)
class HPatchesEvaluation:
    """Mean matching accuracy of each method on the sequences of a folder."""

    root: Path
    methods: tuple[Method, ...]

    @property
    def curves(self) -> dict[str, dict[str, tuple[float, ...]]]:
        """Accuracy by group, with its number of sequences, and method."""
        names = list(self.methods[0].sequences)
        counts = {group: sum(name.startswith(f"{group}_") for name in names) for group in KINDS} | {ALL: len(names)}
        return {
            f"{KINDS.get(group, ALL)} ({counts[group]})": {
                method.label: method.groups[group].accuracy for method in self.methods
            }
            for group in self._groups
        }

    @property
    def _groups(self) -> list[str]:
        """The groups to show: a single one beside that of all would be the same."""
        groups = list(self.methods[0].groups)
        return groups[:1] if len(groups) == 2 else groups

    def __str__(self) -> str:
        first, header = self.methods[0], ["", "features", "matches", *(f"{limit} px" for limit in SHOWN_PX)]
        rows = [[*header, *(f"H {limit} px" for limit in CORNERS_PX)]]
        one_by_one = list(first.sequences) if 1 < len(first.sequences) <= MOST_SEQUENCES else []
        for name in one_by_one + self._groups:
            figures = ((method.label, (method.sequences | method.groups)[name]) for method in self.methods)
            rows += [[f"{name}: {label}", *each.cells] for label, each in figures]
        sequences, errors = len(first.sequences), [f"{each.max_error:g} px ({each.label})" for each in self.methods]
        lines = [
            aligned(rows),
            f"{counted(sequences, 'sequence')}, {counted(first.groups[ALL].pairs, 'pair')}; px: share of all "
            "matches that are right within so much; H: the same of homographies, by their corners",
            f"homographies are estimated with errors of {', '.join(errors)}",
        ]
        if any(method.name == SIFT for method in self.methods):
            lines.append("RootSIFT's ratio and error are the best on these very pairs")
        return "\n".join(lines)
