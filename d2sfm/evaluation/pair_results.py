"""Results of methods on hard pairs, as a table and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from d2sfm.evaluation.relative_poses import area_under_curve
from d2sfm.evaluation.two_view import WITHIN_PX
from d2sfm.text import aligned, counted

SHOWN_PX = 10  # of which the share of clicked points is in the table
MEAN_TO_PX = (10, 20)  # to which shares are averaged, from 1 px on
AUC_DEG = (5.0, 10.0, 20.0)
POINTS_TOLD = (
    f"agree: with the geometry; {SHOWN_PX} px: share of clicked points within so much of their epipolar lines; "
    "mAA: the mean of such shares"
)
POSES_TOLD = "agree: with the geometry; error: of the relative pose, degrees; AUC: area under the curve of its recall"


@dataclass(frozen=True, kw_only=True)
class MethodOnPairs:
    """Results of a method on pairs; tuples are in order of their names.

    settings: in words. matches, inliers: how many there are, and how many of them agree with the geometry.
    within: share of the clicked points that are within 1, 2, .. 20 px of the geometry; None if poses were compared.
    error_deg: of the poses, infinite without one (null in JSON); None if clicked points were. scores: over all pairs,
    by "mAA 1-10 px" or "AUC 5 deg" and the like.
    """

    settings: str
    matches: tuple[int, ...]
    inliers: tuple[int, ...]
    within: tuple[tuple[float, ...], ...] | None
    error_deg: tuple[float, ...] | None
    scores: Mapping[str, float]

    @property
    def shares(self) -> np.ndarray:
        """Shares of each pair within 1, 2, .. 20 px or degrees, [P, 20]; 0 or 1 for a pose."""
        return np.array(self.within) if self.within else np.array(self.error_deg)[:, None] <= WITHIN_PX

    def columns(self) -> dict[str, list[str]]:
        """Cells of the table's rows by what is above them, with one more for the mean."""
        found = {"matches": [*map(str, self.matches), ""], "agree": [*map(str, self.inliers), ""]}
        if self.within is None:
            return found | {"error": [*(f"{error:.2f}" for error in self.error_deg), ""]}
        shares = np.array(self.within)
        values = {f"{SHOWN_PX} px": shares[:, SHOWN_PX - 1]}
        values |= {name.removesuffix(" px"): shares[:, :limit].mean(1) for name, limit in _means().items()}
        return found | {name: [f"{value:.3f}" for value in (*each, each.mean())] for name, each in values.items()}


@dataclass(frozen=True, kw_only=True)
class PairsEvaluation:
    """Pairs by name, and what each method gave on them, D2 first."""

    names: tuple[str, ...]
    methods: Mapping[str, MethodOnPairs]

    @property
    def curves(self) -> tuple[dict[str, dict[str, np.ndarray]], str, str]:
        """Shares of all pairs within 1, 2, .. 20 px or degrees by method, below a title, of what and in which unit."""
        shares = {name: np.mean(method.shares, axis=0) for name, method in self.methods.items()}
        what, unit = ("clicked points", "px") if next(iter(self.methods.values())).within else ("poses", "degrees")
        return {f"{what} of {counted(len(self.names), 'pair')}": shares}, what, unit

    def __str__(self) -> str:
        has_points = bool(next(iter(self.methods.values())).within)
        table = [("", *self.names, "mean" if has_points else "")]
        for name, method in self.methods.items():
            (first, cells), *others = method.columns().items()
            table += [(f"{name}: {first}", *cells), *((above, *each) for above, each in others)]
        lines = [aligned(list(zip(*table, strict=True))).rstrip(), POINTS_TOLD if has_points else POSES_TOLD]
        for name, method in self.methods.items():
            told = ", ".join(f"{score} {value:.3f}" for score, value in method.scores.items())
            lines.append(f"{name}: {told} ({method.settings})")
        return "\n".join(lines)


def scores(found: Sequence[np.ndarray | float]) -> dict[str, float]:
    """Of all pairs, see ``MethodOnPairs``. found: of each, shares within ``WITHIN_PX``, or the error in degrees."""
    if isinstance(found[0], np.ndarray):
        return {name: float(np.mean([shares[:limit].mean() for shares in found])) for name, limit in _means().items()}
    areas = area_under_curve(np.array(found), AUC_DEG)
    return {f"AUC {limit:g} deg": area for limit, area in zip(AUC_DEG, areas, strict=True)}


def _means() -> dict[str, int]:
    """Numbers of the first limits, over which shares are averaged, by what that is called."""
    return {f"mAA {WITHIN_PX[0]}-{limit} px": WITHIN_PX.index(limit) + 1 for limit in MEAN_TO_PX}
