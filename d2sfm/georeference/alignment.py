"""The similarity transform from a model's points to their positions in the world, robust against wrong positions."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import similarity
from d2sfm.georeference.down import AGREEING, PARALLEL, Down, upright_rotation

LEAST = 3
MAX_TRIALS = 10_000  # of three positions: enough where one in ten is right
MAX_ROUNDS = 20
PAIRS_TRIED = 500  # of two positions, by RANSAC of upright models
MEDIAN_OF_NORM = 1.538  # of vectors of three normal numbers of deviation 1
ROLL_KNOWN_DEG = 5.0  # standard deviation of the roll about a line below which positions decide it
ROLL_HINTED_DEG = 60.0  # above, they say nothing
CONTRADICTING = 3.0  # standard deviations
ACROSS = 0.3  # cosine to the line of the positions, below which a direction goes across it

Fit = Callable[[np.ndarray], pycolmap.Sim3d | None]  # of indices of points


class Alignment(NamedTuple):
    """world_from_model, the points it was estimated from, bool [N], and what decided the direction up, in words.

    doubt: why the turn about the line of the positions is undecided, in words.
    """

    world_from_model: pycolmap.Sim3d
    used: np.ndarray
    up_by: str
    doubt: str | None = None


BY_POSITIONS, BY_CAMERAS = "positions", "cameras"


def align(
    points: np.ndarray,
    positions: np.ndarray,
    max_error_m: float,
    seed: int,
    *,
    down: Down,
    is_up: bool = False,
    scale: float | None = None,
) -> Alignment | None:
    """Align points of a model, [N, 3], with their positions in metres, [N, 3], z up, N >= 3.

    down: the direction by the cameras, which decides with is_up, or if the positions lie so nearly on a line that the
    turn about it is open. scale: of the model, if known. None if no three agree.
    """
    free = None if is_up else _robust(points, positions, max_error_m, seed, scale)
    if not is_up:
        deviation_deg = _roll_deviation_deg(points, positions, free)
        if deviation_deg <= ROLL_KNOWN_DEG:
            return free
        if doubt := _doubt(points, down, free, deviation_deg):
            return free and free._replace(doubt=f"known to {min(deviation_deg, 180):.0f} degrees only: {doubt}")
    return _upright(points, positions, max_error_m, seed, down.axis, scale)


def residuals(world_from_model: pycolmap.Sim3d, points: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Residuals of points in the model, [N, 3], from their positions, as vectors [N, 3] in metres."""
    rotated = points @ world_from_model.rotation.matrix().T
    return world_from_model.scale * rotated + world_from_model.translation - positions


def _robust(
    points: np.ndarray, positions: np.ndarray, max_error_m: float, seed: int, scale: float | None
) -> Alignment | None:
    def fit(some: np.ndarray) -> pycolmap.Sim3d | None:
        return similarity(points[some], positions[some], scale=scale)

    ransac = pycolmap.RANSACOptions(max_error=max_error_m, random_seed=seed, max_num_trials=MAX_TRIALS)
    first = similarity(points, positions, scale=scale, ransac=ransac)
    used = np.zeros(0, bool) if first is None else _agreeing(first, points, positions, max_error_m)
    return _of_all_inliers(fit, used, points, positions, max_error_m, BY_POSITIONS)


def _upright(
    points: np.ndarray, positions: np.ndarray, max_error_m: float, seed: int, down: np.ndarray, scale: float | None
) -> Alignment | None:
    """A turn about the vertical, a scale and a shift, for a model whose direction down is known."""
    rotation = upright_rotation(down)
    level = points @ rotation.T
    flat, there = level[:, 0] + 1j * level[:, 1], positions[:, 0] + 1j * positions[:, 1]
    first, second = pairs_tried(len(points), seed)
    along, wanted = flat[second] - flat[first], there[second] - there[first]
    telling = (along != 0) & (wanted != 0)
    first, second, along, wanted = (each[telling] for each in (first, second, along, wanted))
    if not len(first):
        return None
    turns = wanted / along if scale is None else scale * (wanted / along) / np.abs(wanted / along)
    shifts = there[first] - turns * flat[first]
    heights = positions[:, 2] - np.abs(turns)[:, None] * level[:, 2]
    heights -= (heights[range(len(first)), first] + heights[range(len(first)), second])[:, None] / 2
    off = np.minimum(np.hypot(np.abs(turns[:, None] * flat + shifts[:, None] - there), heights), max_error_m)

    def fit(some: np.ndarray) -> pycolmap.Sim3d | None:
        a, b = flat[some] - flat[some].mean(), there[some] - there[some].mean()
        turn = np.vdot(a, b) / max(np.vdot(a, a).real, np.finfo(float).tiny)
        if not abs(turn) > 0:
            return None
        size = abs(turn) if scale is None else scale
        c, s = turn.real / abs(turn), turn.imag / abs(turn)
        turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ rotation
        shift = positions[some].mean(axis=0) - size * turned @ points[some].mean(axis=0)
        shift[2] = np.median(positions[some, 2] - size * points[some] @ turned[2])  # no altitude has a say before
        return pycolmap.Sim3d(size, pycolmap.Rotation3d(turned), shift)

    return _of_all_inliers(fit, off[off.sum(axis=1).argmin()] < max_error_m, points, positions, max_error_m, BY_CAMERAS)


def pairs_tried(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of indices, the smaller one first, or some of many, which are drawn without listing the others."""
    number = count * (count - 1) // 2
    if number <= PAIRS_TRIED:
        return np.triu_indices(count, 1)
    some = np.random.default_rng(seed).choice(number, PAIRS_TRIED, replace=False)
    ends = np.cumsum(np.arange(count - 1, 0, -1))  # of the pairs with each first index, in the order of all
    first = np.searchsorted(ends, some, side="right")
    return first, some - ends[first] + count


def _of_all_inliers(
    fit: Fit, used: np.ndarray, points: np.ndarray, positions: np.ndarray, max_error_m: float, up_by: str
) -> Alignment | None:
    """Least squares over agreeing positions, until these stay the same."""
    found = None
    for _ in range(MAX_ROUNDS):
        world_from_model = fit(np.flatnonzero(used)) if used.sum() >= LEAST else None
        if world_from_model is None or not world_from_model.scale > 0:
            return found
        found = Alignment(world_from_model, used, up_by)
        agreeing = _agreeing(world_from_model, points, positions, max_error_m)
        if np.array_equal(agreeing, used):
            return found
        used = agreeing
    return found


def _agreeing(
    world_from_model: pycolmap.Sim3d, points: np.ndarray, positions: np.ndarray, max_error_m: float
) -> np.ndarray:
    return np.linalg.norm(residuals(world_from_model, points, positions), axis=1) <= max_error_m


def _roll_deviation_deg(points: np.ndarray, positions: np.ndarray, free: Alignment | None) -> float:
    """The standard deviation of the turn about the positions' longest axis.

    From the residuals of all positions, also those that RANSAC left out: if the turn is open, a few agree with any.
    """
    if free is None:
        return np.inf
    off = np.median(np.linalg.norm(residuals(free.world_from_model, points, positions), axis=1)) / MEDIAN_OF_NORM
    across = np.linalg.svd(points[free.used] - points[free.used].mean(axis=0), compute_uv=False)[1]
    across_m = free.world_from_model.scale * across
    return float(np.degrees(off / across_m)) if across_m > 0 else np.inf


def _doubt(points: np.ndarray, down: Down, free: Alignment | None, deviation_deg: float) -> str | None:
    """Why the cameras' down axis can't be taken for the vertical; None if it can."""
    line = np.linalg.svd(points - np.median(points, axis=0), full_matrices=False)[2][0]
    if down.agreement < AGREEING:
        return "cameras were held in different ways"
    if np.linalg.norm(down.view) > PARALLEL and abs(down.view @ line) < ACROSS:
        return "cameras all look the same way, across the line, as in a flight that looks down"
    if free is not None and deviation_deg < ROLL_HINTED_DEG:
        axis = free.world_from_model.rotation.matrix() @ down.axis
        apart_deg = np.degrees(np.arccos(np.clip(-axis[2], -1, 1)))
        if apart_deg > CONTRADICTING * deviation_deg:
            return f"the cameras' down axis is {apart_deg:.0f} degrees off by the positions"
    return None
