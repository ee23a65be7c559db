"""Keypoints of tracks that go on in an image where they had none, behind the image's own.

They have neither descriptors nor scores, so nothing matches them anew; only matches with the other observations of
their track name them. How many there are of each image is noted with its features.
"""

from collections.abc import Mapping

import numpy as np

from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.pair_rows import read_matches
from d2sfm.database.tables import CONTINUED, FEATURES, columns


def continued_counts(connection: Connection) -> dict[int, int]:
    """How many of an image's keypoints are continued tracks, by image_id, of those that have any."""
    if CONTINUED not in columns(connection, FEATURES):
        return {}
    return dict(connection.rows(f"SELECT image_id, {CONTINUED} FROM {FEATURES} WHERE {CONTINUED} > 0"))


def remove_continued(connection: Connection) -> None:
    """Remove all of them with their matches, in a transaction of the caller, who removes geometries."""
    counts = continued_counts(connection)
    if not counts:
        return
    rows = dict(connection.rows("SELECT image_id, rows FROM keypoints"))
    own = {image_id: rows[image_id] - count for image_id, count in counts.items() if image_id in rows}
    for (pair_id,) in connection.rows("SELECT pair_id FROM matches"):
        [limits] = [[own.get(each, np.inf) for each in pair] for pair in image_pairs(np.array([pair_id])).tolist()]
        if min(limits) < np.inf:
            [(data,)] = connection.rows("SELECT CAST(data AS BLOB) FROM matches WHERE pair_id = ?", (pair_id,))
            matches = read_matches(data, False)
            kept = matches[(matches < limits).all(axis=1)]
            if len(kept) < len(matches):
                _set_matches(connection, pair_id, kept)
    connection.run_many(
        "UPDATE keypoints SET rows = ?, data = substr(data, 1, 4 * cols * ?) WHERE image_id = ?",
        [(count, count, image_id) for image_id, count in own.items()],
    )
    connection.rows(f"UPDATE {FEATURES} SET {CONTINUED} = 0")


def add_continued(
    connection: Connection, keypoints: Mapping[int, np.ndarray], matches: Mapping[tuple[int, int], np.ndarray]
) -> None:
    """Add keypoints behind those of images, and matches behind those of pairs, in a transaction of the caller.

    keypoints: [K, 4] x, y, scale in pixels of the photograph, 0, by image_id; matches: [M, 2], by ids of images in
    ascending order. Pairs that have no row of matches are passed over: they count as not matched.
    """
    for image_id, more in keypoints.items():
        [(rows, data)] = connection.rows("SELECT rows, data FROM keypoints WHERE image_id = ?", (image_id,))
        data = (data or b"") + np.ascontiguousarray(more, "<f4").tobytes()
        connection.rows(
            "UPDATE keypoints SET rows = ?, data = ? WHERE image_id = ?", (rows + len(more), data, image_id)
        )
        connection.rows(f"UPDATE {FEATURES} SET {CONTINUED} = ? WHERE image_id = ?", (len(more), image_id))
    for pair, more in matches.items():
        pair_id = int(pair_ids(*pair))
        for (data,) in connection.rows("SELECT CAST(data AS BLOB) FROM matches WHERE pair_id = ?", (pair_id,)):
            _set_matches(connection, pair_id, np.concatenate([read_matches(data, False), more]))


def _set_matches(connection: Connection, pair_id: int, matches: np.ndarray) -> None:
    data = np.ascontiguousarray(matches, "<u4").tobytes() or None
    connection.rows("UPDATE matches SET rows = ?, cols = 2, data = ? WHERE pair_id = ?", (len(matches), data, pair_id))
