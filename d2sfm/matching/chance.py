"""Pairs of images whose agreement chance explains, and a copy of a database for mapping without them.

RANSAC finds some epipolar geometry for any two images, and the more matches there are the more of them agree with it.
A fixed least number of inliers thus lets through half of the pairs of a collection of D2 features.
"""

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from math import inf, lgamma, log, log10
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database import PairStore
from d2sfm.database.connection import named_errors, sole_use
from d2sfm.matching.settings import pair_threshold_px

SAMPLE = 7  # matches that determine a fundamental matrix, up to MODELS of them
MODELS = 3
NOT_FOR_MAPPING = "descriptors"  # most of a database


def false_alarms_log10(matches: int, inliers: int, share: float) -> float:
    """How many geometries as good as this one random matches have on average, as decimal logarithm.

    share: that of the image within the threshold of an epipolar line, so a random match's probability to agree. The
    number is that of Moisan and Stival (A probabilistic criterion to detect rigid point matches, IJCV 2004); below 1
    chance does not explain the pair. It is infinite where no more matches agree than determine a geometry. Inliers that
    guided matching found are matches, too.
    """
    matches = max(matches, inliers)
    if inliers <= SAMPLE:
        return inf
    tests = log10(MODELS * (matches - SAMPLE)) + _choices_log10(matches, inliers) + _choices_log10(inliers, SAMPLE)
    return tests + (inliers - SAMPLE) * log10(min(share, 1.0))


def _choices_log10(of: int, number: int) -> float:
    return (lgamma(of + 1) - lgamma(number + 1) - lgamma(of - number + 1)) / log(10)


def share_near_line(camera: pycolmap.Camera, max_error_px: float) -> float:
    """Share of an image that lies within max_error_px (pixels of the photograph) of a line along its diagonal."""
    return 2 * max_error_px * float(np.hypot(camera.width, camera.height)) / (camera.width * camera.height)


def chance_pairs(store: PairStore, max_error: float, factors: Mapping[int, float]) -> set[tuple[int, int]]:
    """Verified pairs (smaller image id first) that chance explains.

    max_error: of verification, in pixels of the network input; factors: resize factors by image id, see
    ``pair_threshold_px``.
    """
    ids = {name: image_id for image_id, name in store.image_names().items()}
    cameras = {image_id: store.camera(image_id) for image_id in ids.values()}
    found = set()
    for name_a, name_b, matches, inliers in store.pairs_table():
        pair = tuple(sorted((ids[name_a], ids[name_b])))
        max_error_px = pair_threshold_px(max_error, factors, pair)
        share = max(share_near_line(cameras[image_id], max_error_px) for image_id in pair)
        if inliers and false_alarms_log10(matches, inliers, share) > 0:
            found.add(pair)
    return found


def copy_for_mapping(database: Path, copy: Path, without: Collection[tuple[int, int]] = ()) -> None:
    """Write to ``copy`` what mapping reads of the database, less the geometries of the pairs in ``without``.

    Descriptors stay behind. Raises RuntimeError where the database can't be read.
    """
    with (
        sole_use(database),
        named_errors(database, sqlite3.Error),
        closing(sqlite3.connect(copy, isolation_level=None)) as connection,
    ):
        connection.execute("ATTACH DATABASE ? AS source", (str(database),))
        connection.execute("BEGIN")
        tables = connection.execute(
            "SELECT name, sql FROM source.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for name, sql in tables:
            if name.startswith("d2sfm_"):
                continue
            connection.execute(sql)
            if name != NOT_FOR_MAPPING:
                connection.execute(f'INSERT INTO main."{name}" SELECT * FROM source."{name}"')
        for (sql,) in connection.execute(
            "SELECT sql FROM source.sqlite_master WHERE type = 'index' AND sql NOT NULL AND tbl_name NOT LIKE 'd2sfm_%'"
        ).fetchall():
            connection.execute(sql)
        connection.executemany(
            "DELETE FROM two_view_geometries WHERE pair_id = ?",
            [(int(pycolmap.image_pair_to_pair_id(*pair)),) for pair in without],
        )
        version = connection.execute("PRAGMA source.user_version").fetchone()[0]
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA user_version = {version}")
