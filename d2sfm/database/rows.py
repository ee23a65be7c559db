"""Rows that others wrote, checked where they are read.

Errors that concern the whole database are refused when it is opened: ``require_sane``. An error of one image or one
pair is an ``UnusableRow``, and work continues with the others.
"""

import json
import logging
from functools import cache
from pathlib import Path

import numpy as np

from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import MAX_IMAGES, image_pairs
from d2sfm.database.tables import FEATURES, GREY_RANGE, ORIENTATION, SETTINGS, columns, tables
from d2sfm.text import counted

logger = logging.getLogger(__name__)

FARTHEST_PX = 1e6  # of a keypoint from the corner of its photograph: COLMAP's verification crashes on numbers like 1e30

TORN = "has features whose rows contradict each other: extract or import it again"
# Of the settings of verification and refinement.
_NUMBERS = {"max_error", "max_error_px", "min_inlier_ratio", "max_num_trials", "min_num_inliers", "seed", "rounds"}
_EDGES = "typeof({0}width) != 'integer' OR typeof({0}height) != 'integer' OR NOT min({0}width, {0}height) > 0"
# Names of rows that can't be, and what they are then said to be.
_INSANE = (
    (
        "SELECT coalesce(quote(name), image_id) FROM images WHERE typeof(name) != 'text' OR name = ''",
        "an image whose name is not text",
    ),
    (
        f"SELECT name FROM images WHERE NOT image_id BETWEEN 1 AND {MAX_IMAGES - 1}",
        f"an image with an id outside of 1 to {MAX_IMAGES - 1}",
    ),
    (
        f"SELECT name FROM images LEFT JOIN cameras USING (camera_id) WHERE width IS NULL OR {_EDGES.format('')}",
        "an image without a camera of 1 x 1 px or more",
    ),
)
_INSANE_FEATURES = (
    f"SELECT name FROM {FEATURES} JOIN images USING (image_id) WHERE {_EDGES.format('input_')} "
    "OR typeof(scores) != 'blob' OR typeof(fingerprint) != 'text' OR typeof(scales) != 'text' "
    "OR convention NOT IN ('colmap', 'reference')",
    "an image whose features d2sfm did not write in this form",
)


class UnusableRow(RuntimeError):
    """A row of an image, or of a pair ("a.jpg - b.jpg"), that can't be used: its name, and the reason in words."""

    def __init__(self, path: Path, name: str, reason: str):
        super().__init__(f"{path}: {name} {reason}")
        self.name, self.reason = name, reason


@cache
def warn_once(message: str) -> None:
    """A row that is read several times in a run is reported once."""
    logger.warning("%s", message)


def require_sane(connection: Connection) -> None:
    """Raise RuntimeError that names the image if a database holds impossible values."""
    checks = list(_INSANE)
    there = tables(connection)
    if FEATURES in there:
        checks.append(_INSANE_FEATURES)
        if ORIENTATION in columns(connection, FEATURES):
            turned = f"typeof({ORIENTATION}) = 'integer' AND {ORIENTATION} BETWEEN 1 AND 8"
            sql = f"SELECT name FROM {FEATURES} JOIN images USING (image_id) WHERE NOT ({turned})"
            checks.append((sql, "an image whose EXIF orientation is not 1 to 8"))
        if set(GREY_RANGE) <= set(columns(connection, FEATURES)):
            low, high = GREY_RANGE
            are_whole = f"typeof({low}) = 'integer' AND typeof({high}) = 'integer'"
            range_or_none = f"({low} IS NULL AND {high} IS NULL) OR ({are_whole} AND 0 <= {low} AND {low} < {high})"
            sql = f"SELECT name FROM {FEATURES} JOIN images USING (image_id) WHERE NOT ({range_or_none})"
            checks.append((sql, "an image with an invalid range of grey values"))
    if SETTINGS in there:
        checks.append((f"SELECT key FROM {SETTINGS} WHERE typeof(value) != 'text'", f"no text in {SETTINGS}"))
    if "corr_data_id" in columns(connection, "pose_priors"):
        wrong = "length(position) != 24 OR NOT coordinate_system BETWEEN -1 AND 1"
        sql = f"SELECT name FROM pose_priors JOIN images ON image_id = corr_data_id WHERE {wrong}"
        checks.append((sql, "an image whose position is not three numbers in a known coordinate system"))
    for sql, what in checks:
        if found := connection.rows(f"{sql} LIMIT 1"):
            raise RuntimeError(f"{connection.path} holds {what}: {found[0][0]}: delete it from the database")


def json_object(path: Path, what: str, text: str) -> dict:
    """The settings in a note. Raises RuntimeError if d2sfm did not write it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    numbers = [found[key] for key in _NUMBERS & found.keys()] if isinstance(found, dict) else [None]
    if not all(type(each) in (int, float) and 0 <= each < np.inf for each in numbers):
        raise RuntimeError(
            f"{path}: the note {what} in {SETTINGS} is not a JSON object of d2sfm's settings: delete it from the "
            "database"
        )
    return found


def check_size(path: Path, name: str, what: str, expected: int | None, found: int) -> None:
    """Raise UnusableRow if the bytes of a row are not those that it declares; None if it declares none."""
    if expected is None or found != expected:
        declared = "no size" if expected is None else counted(expected, "byte")
        raise UnusableRow(path, name, f"declares {declared} of {what} but has {found}: extract or import it again")


def declared_bytes(rows: object, row_bytes: object) -> int | None:
    """Bytes of ``rows`` rows of ``row_bytes`` each; None if either is not a count."""
    return rows * row_bytes if all(isinstance(each, int) and each >= 0 for each in (rows, row_bytes)) else None


def check_keypoints(path: Path, name: str, keypoints: np.ndarray) -> None:
    """Raise UnusableRow if positions are not finite, or nowhere near a photograph."""
    if not (np.abs(keypoints[:, :2]) <= FARTHEST_PX).all():
        raise UnusableRow(
            path, name, "has keypoints that are not finite or far outside of it: extract or import it again"
        )


def check_descriptors(path: Path, name: str, descriptors: np.ndarray) -> None:
    """Raise UnusableRow if a number is not finite."""
    if not all(np.isfinite(descriptors[start : start + 4096]).all() for start in range(0, len(descriptors), 4096)):
        raise UnusableRow(path, name, "has descriptors that are not finite: extract or import it again")


def check_matches(path: Path, name: str, matches: np.ndarray, counts: list[float]) -> None:
    """Raise UnusableRow if the indices [M, 2] of a pair exceed the numbers of keypoints."""
    if len(matches) and (matches.max(axis=0) >= counts).any():
        raise UnusableRow(path, name, "has matches of keypoints that do not exist: run d2sfm match --overwrite")


def read_scales(path: Path, name: str, text: str) -> tuple[float, ...]:
    """The scales of an image's features, from their JSON."""
    try:
        return tuple(float(scale) for scale in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise UnusableRow(path, name, "has no list of scales: extract or import it again") from None


def of_images(pair_ids: np.ndarray, image_ids: list[int]) -> np.ndarray:
    """Which numbers, [P] int64, are pairs of two of these images, [P] bool: COLMAP accepts any number."""
    pairs = image_pairs(pair_ids)
    return (pair_ids > 0) & (pairs[:, 0] < pairs[:, 1]) & np.isin(pairs, image_ids).all(axis=1)
