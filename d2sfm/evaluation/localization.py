"""Poses against the truth, as benchmarks of localization count: the share within limits of metres and degrees."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.colmap import placed_images, read_model
from d2sfm.evaluation.pose_lists import read_poses, require_common
from d2sfm.evaluation.poses import compare_with_truth, pose_auc, pose_errors
from d2sfm.notebook import Displayed
from d2sfm.text import aligned, first_of

WITHIN = ((0.25, 2.0), (0.5, 5.0), (5.0, 10.0))  # metres and degrees, of the long-term visual localization benchmark
AUC_DEG = (1.0, 3.0, 5.0, 10.0)
MOST_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class PoseEvaluation(Displayed):
    """Errors of poses, infinite (null in JSON) for images without one; arrays in order of ``names``.

    within: share of all within pairs of an error of the centre (in the truth's unit) and of rotation (degrees), by
    "0.25 m 2 deg" and the like. auc: of pairs of images at ``AUC_DEG``, where a whole model was evaluated.
    """

    names: tuple[str, ...]
    rotation_deg: tuple[float, ...]
    centre: tuple[float, ...]
    within: Mapping[str, float]
    median_rotation_deg: float
    median_centre: float
    auc: tuple[float, ...] | None = None

    @property
    def placed(self) -> int:
        """How many have a pose."""
        return int(np.isfinite(self.rotation_deg).sum())

    def __str__(self) -> str:
        order = sorted(range(len(self.names)), key=lambda row: (-self.centre[row], self.names[row]))
        rows = [(self.names[row], f"{self.rotation_deg[row]:.3f}", f"{self.centre[row]:.4f}") for row in order]
        text = aligned([("worst" if len(rows) > MOST_ROWS else "", "rotation deg", "centre m"), *rows[:MOST_ROWS]])
        text += f"\n{self.placed} of {len(self.names)} with a pose; median {self.median_rotation_deg:.3f} deg and "
        text += f"{self.median_centre:.4f} m\n"
        text += ", ".join(f"{100 * share:.1f} % within {limits}" for limits, share in self.within.items())
        if self.auc is not None:
            areas = ", ".join(f"{area:.3f} ({limit:g} deg)" for area, limit in zip(self.auc, AUC_DEG, strict=True))
            text += f"\narea under the curve of pairs: {areas}"
        return text


def evaluate_localization(poses: Path, truth: Path, queries: Collection[str] | None = None) -> PoseEvaluation:
    """A list of poses, or a model, against the true ones in the same world; see ``read_poses``.

    queries: the names that count (default: all of the truth). Those without a pose count as wrong.

    Raises as ``read_poses``, and ValueError if no name is in both, or a query is not in the truth.
    """
    found, true = read_poses(poses), read_poses(truth)
    require_common(found, true, poses, truth)
    if queries is not None:
        if lacking := sorted(set(queries) - true.keys()):
            raise ValueError(f"{truth} has no pose of {first_of(lacking, 'query')}")
        true = {name: true[name] for name in queries}
    names = sorted(true)
    rotation_deg, centre = (np.full(len(names), np.inf) for _ in range(2))
    here = [row for row, name in enumerate(names) if name in found]
    chosen = [names[row] for row in here]
    rotation_deg[here], centre[here] = pose_errors([found[name] for name in chosen], [true[name] for name in chosen])
    return _evaluation(names, rotation_deg, centre)


def evaluate_poses(model: Path, truth: Path) -> PoseEvaluation:
    """A model against the true one, after a similarity alignment; images that it lacks count as wrong.

    Raises FileNotFoundError if there is no model, RuntimeError if it can't be read or aligned, and ValueError if no
    name is in both, or the truth has fewer than two images.
    """
    found, true = read_model(model), read_model(truth)
    by_name = [{image.name: image for image in placed_images(each)} for each in (found, true)]
    if not all(by_name):
        raise ValueError(f"{truth if by_name[0] else model} holds no poses")
    require_common(*by_name, model, truth)
    errors, names = compare_with_truth(found, true), sorted(by_name[1])
    rows = np.searchsorted(names, errors.names)
    rotation_deg, centre = (np.full(len(names), np.inf) for _ in range(2))
    rotation_deg[rows], centre[rows] = errors.rotation_deg, errors.centre
    return _evaluation(names, rotation_deg, centre, pose_auc(found, true, AUC_DEG))


def share_within(rotation_deg: np.ndarray, centre: np.ndarray) -> dict[str, float]:
    """See ``PoseEvaluation.within``."""
    return {
        f"{metres:g} m {degrees:g} deg": float(np.mean((centre <= metres) & (rotation_deg <= degrees)))
        for metres, degrees in WITHIN
    }


def _evaluation(
    names: Sequence[str], rotation_deg: np.ndarray, centre: np.ndarray, auc: tuple[float, ...] | None = None
) -> PoseEvaluation:
    return PoseEvaluation(
        names=tuple(names),
        rotation_deg=tuple(rotation_deg.tolist()),
        centre=tuple(centre.tolist()),
        within=share_within(rotation_deg, centre),
        median_rotation_deg=float(np.median(rotation_deg)),
        median_centre=float(np.median(centre)),
        auc=auc,
    )
