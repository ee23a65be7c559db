"""Checks of positions before a model is aligned with them."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from d2sfm.georeference.alignment import Alignment, residuals
from d2sfm.georeference.down import Down
from d2sfm.georeference.frames import GROUND_SCALE, Frame, Local, Projected, ground_scale, middle
from d2sfm.georeference.positions import Positions
from d2sfm.text import counted, first_of

SAME_M = 0.01  # positions within it are one
FAR_M = 100_000.0  # of positions of one scene, more is a mistake of coordinates
BETTER = 0.5  # median residual of exchanged coordinates, of that of the given ones, by which they look exchanged
TELLING = 6  # positions; fewer may fit by chance
POOR_FIT = 0.02  # median residual, of how far positions are from their middle, below which nothing is wrong with them
ALIKE = 1.25  # times as large are residuals of fits that are about as good, or numbers of positions that agree
TILTED = 0.3  # sine of the angle to the horizon, above which a direction goes up or down
POOR_SCALE = 0.05  # standard deviation of the scale beyond which it is told

logger = logging.getLogger(__name__)


class Located(NamedTuple):
    """Points of a model, [N, 3], with their positions: as given, [N, 3], with altitudes, and in metres of the frame
    less its offset, [N, 3] in ``world``."""

    names: list[str]
    points: np.ndarray
    given: np.ndarray
    world: np.ndarray
    positions: Positions
    frame: Frame
    offset: np.ndarray

    def off_m(self, found: Alignment) -> np.ndarray:
        """Distances of the aligned points from their positions, [N]."""
        return np.linalg.norm(residuals(found.world_from_model, self.points, self.world), axis=1)


def check_positions(names: list[str], given: np.ndarray, positions: Positions, least: int) -> None:
    """Raise RuntimeError if there are too few positions, or all are equal. given: [N, 3], as given."""
    if not names:
        raise RuntimeError(
            f"{positions.source} has no position of any image of the model: give --positions or --control-points, or "
            "--up to make the model upright only"
        )
    if len(names) < least:
        count = counted(len(names), "position")
        raise RuntimeError(f"{positions.source} has {count} of {positions.of_what}, expected {least} or more")
    metres = np.nan_to_num(given)
    if positions.is_geographic:
        metres = Local(*middle(metres)).from_geographic(metres)
    apart = np.linalg.norm(metres - np.median(metres, axis=0), axis=1)
    if np.median(apart) < SAME_M:
        which = "all" if apart.max() < SAME_M else f"{(apart < SAME_M).sum()} of"
        raise RuntimeError(
            f"{positions.source}: {which} {len(names)} positions are equal, so neither scale nor direction can be found"
        )


def check_found(
    found: Alignment | None,
    aligned_with: Callable[[np.ndarray], Alignment | None],
    located: Located,
    down: Down,
    max_error_m: float,
) -> None:
    """Raise RuntimeError if no positions agree with the model, degrees look taken for metres, or the two coordinates on
    the ground look exchanged in all; warn if latitude and longitude do in some.

    aligned_with: ``align`` of the points with other positions, [N, 3] metres. down: by the cameras.
    """
    positions, count = located.positions, len(located.points)
    off = np.full(count, np.inf) if found is None else located.off_m(found)
    for world in _worlds_of_degrees(located):
        if _fits_better(world, count / 2, aligned_with, off, located):
            raise RuntimeError(
                f"{positions.source}: x and y look like degrees, which fit better: call the columns longitude and "
                "latitude"
            )
    which = "latitude and longitude" if positions.is_geographic else "x and y (east and north)"
    # One exchanged coordinate alone proves nothing: a flat scene may be turned over, and a line stretched.
    least = count / 2 if found is None else found.used.sum()
    if _fits_better(_exchanged_world(located), least, aligned_with, off, located):
        raise RuntimeError(f"{positions.source}: {which} look exchanged: swapped, the positions fit better")
    if found is not None and _is_mirrored(found, aligned_with, off, located, down):
        raise RuntimeError(
            f"{positions.source}: {which} look exchanged: cameras look upwards or are upside down as they are given, "
            "and not if they are swapped"
        )
    if found is None:
        raise RuntimeError(
            f"{positions.source}: no three of {count} positions agree within {max_error_m:g} m: give a larger "
            "--max-error-m, or --up or --nadir if they lie on a line"
        )
    if positions.is_geographic and len(exchanged := _exchanged(found, off, located)):
        logger.warning(
            "latitude and longitude look exchanged, %.0f km off: %s",
            off[exchanged[0]] / 1000,
            first_of([located.names[index] for index in exchanged], "position"),
        )
    if 2 * found.used.sum() < count:
        logger.warning("only %d of %d positions agree within %g m", found.used.sum(), count, max_error_m)


def _fits_better(
    world: np.ndarray | None,
    least: float,
    aligned_with: Callable[[np.ndarray], Alignment | None],
    off: np.ndarray,
    located: Located,
) -> bool:
    """Whether the positions read otherwise, [N, 3] metres, fit much better for their size, and ``least`` agree."""
    if world is None or len(world) < TELLING or np.median(off) <= POOR_FIT * _spread(located.world):
        return False
    other = aligned_with(world)
    if other is None:
        return False
    of_other = np.median(located._replace(world=world).off_m(other)) / _spread(world)
    return bool(other.used.sum() >= least and of_other < BETTER * np.median(off) / _spread(located.world))


def _spread(world: np.ndarray) -> float:
    """The median distance from the middle."""
    return float(np.median(np.linalg.norm(world - np.median(world, axis=0), axis=1)))


def _is_mirrored(
    found: Alignment,
    aligned_with: Callable[[np.ndarray], Alignment | None],
    off: np.ndarray,
    located: Located,
    down: Down,
) -> bool:
    """Whether the scene is turned over as by its mirror image, which fits positions of one height about as well. So the
    cameras decide."""
    if found.doubt or not _rises(found, down) > TILTED:
        return False
    world = _exchanged_world(located)
    other = None if world is None else aligned_with(world)
    if other is None or other.doubt or not _rises(other, down) < -TILTED:
        return False
    of_other = np.median(located._replace(world=world).off_m(other))
    return bool(of_other <= ALIKE * max(np.median(off), SAME_M) and ALIKE * other.used.sum() >= found.used.sum())


def _rises(found: Alignment, down: Down) -> float:
    """How far up the cameras' down axis goes in the world, -1 to 1; where it is level, as in a flight that looks down,
    their viewing direction."""
    up_in_model = found.world_from_model.rotation.matrix()[2]
    hanging, looking = down.agreement * (up_in_model @ down.axis), up_in_model @ down.view
    return float(hanging if abs(hanging) > TILTED else looking)


def _worlds_of_degrees(located: Located) -> Iterator[np.ndarray]:
    """The x and y of metres taken for degrees, in both orders, in metres; none where they can't be those of a scene."""
    for order in ([1, 0, 2], [0, 1, 2]):
        degrees = located.given[:, order]
        if located.positions.is_geographic or (np.abs(degrees[:, :2]) > [90, 180]).any():
            continue
        world = Local(*middle(degrees)).from_geographic(degrees)
        if _spread(world) < FAR_M:
            yield world


def _exchanged_world(located: Located) -> np.ndarray | None:
    """The positions with both coordinates exchanged, in metres; None if one would be no latitude."""
    if not located.positions.is_geographic:
        return located.world[:, [1, 0, 2]]
    exchanged = located.given[:, [1, 0, 2]]
    return None if (np.abs(exchanged[:, 0]) > 90).any() else Local(*middle(exchanged)).from_geographic(exchanged)


def _exchanged(found: Alignment, off: np.ndarray, located: Located) -> np.ndarray:
    """Indices of positions that come far nearer with latitude and longitude exchanged."""
    far = np.flatnonzero((off > FAR_M) & (np.abs(located.given[:, 1]) <= 90))
    if not len(far):
        return far
    world = located.frame.from_geographic(located.given[far][:, [1, 0, 2]]) - located.offset
    of_swapped = residuals(found.world_from_model, located.points[far], world)
    return far[np.linalg.norm(of_swapped, axis=1) < off[far] / 100]


def warn_of_scale(found: Alignment, points: np.ndarray, off: np.ndarray) -> None:
    """Warn if positions leave the scale poorly located. off: distances of the points from them, [N] metres."""
    spread = found.world_from_model.scale * np.linalg.norm(points[found.used] - points[found.used].mean(axis=0))
    deviation = float(np.sqrt(np.mean(off[found.used] ** 2) / 3) / spread)
    if deviation > POOR_SCALE:
        logger.warning(
            "positions tell the scale to %.0f %% only, as they lie close together for their errors", 100 * deviation
        )


def warn_of_frame(frame: Frame, given: np.ndarray) -> None:
    """Warn if a frame's metres differ from those on the ground, and of what is not converted to it. given: positions,
    [N, 3] geographic."""
    if isinstance(frame, Projected) and (shortcoming := frame.shortcoming(given)):
        logger.warning("%s: %s", frame, shortcoming)
    scale = ground_scale(frame, given)
    if abs(scale - 1) > GROUND_SCALE:
        logger.warning(
            "a metre on the ground is %.3f m in %s, but one of height is 1 m: give another --epsg, or --utm",
            scale,
            frame,
        )
