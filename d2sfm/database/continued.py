"""Keypoints of tracks that were continued into an image, stored behind the image's own.

They have neither descriptors nor scores, so matching ignores them; their only matches are those with other observations
of their track. Their number is noted with the features of the image.
"""

from collections.abc import Mapping

import numpy as np

from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.pair_rows import matches_row, read_matches, read_similarities, similarities_row
from d2sfm.database.tables import CONTINUED, FEATURES, SIMILARITIES, columns, create_our_tables

CERTAIN = 1.0  # similarity of their matches: grey values agree, and so they come first when verification sorts


def continued_counts(connection: Connection) -> dict[int, int]:
    """Numbers of keypoints that are continued tracks, by image_id, of images that have any."""
    if CONTINUED not in columns(connection, FEATURES):
        return {}
    return dict(connection.rows(f"SELECT image_id, {CONTINUED} FROM {FEATURES} WHERE {CONTINUED} > 0"))


def remove_continued(connection: Connection) -> None:
    """Remove all of them with their matches, in a transaction of the caller, who removes geometries."""
    counts = continued_counts(connection)
    if not counts:
        return
    create_our_tables(connection)
    rows = dict(connection.rows("SELECT image_id, rows FROM keypoints"))
    own = {image_id: rows[image_id] - count for image_id, count in counts.items() if image_id in rows}
    pairs = connection.table("SELECT pair_id FROM matches", [("pair_id", np.int64)])["pair_id"]
    for pair_id, pair in zip(pairs.tolist(), image_pairs(pairs).tolist(), strict=True):
        limits = [own.get(each, np.inf) for each in pair]
        if min(limits) < np.inf:
            [(matches, similarities)] = _read(connection, pair_id)
            is_own = (matches < limits).all(axis=1)
            if not is_own.all():
                _write(connection, pair_id, matches[is_own], None if similarities is None else similarities[is_own])
    connection.run_many(
        "UPDATE keypoints SET rows = ?, data = substr(data, 1, 4 * cols * ?) WHERE image_id = ?",
        [(count, count, image_id) for image_id, count in own.items()],
    )
    connection.rows(f"UPDATE {FEATURES} SET {CONTINUED} = 0")


def add_continued(
    connection: Connection, keypoints: Mapping[int, np.ndarray], matches: Mapping[tuple[int, int], np.ndarray]
) -> None:
    """Add keypoints behind those of images, and matches behind those of pairs, in a transaction of the caller, who has
    made d2sfm's tables.

    keypoints: [K, 4] x, y, scale in pixels of the photograph, 0, by image_id; matches: [M, 2], by ids of images in
    ascending order. Pairs without a row of matches are left out: they count as not matched.
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
        for matches, similarities in _read(connection, pair_id):
            if similarities is not None:
                similarities = np.concatenate([similarities, np.full(len(more), CERTAIN, similarities.dtype)])
            _write(connection, pair_id, np.concatenate([matches, more]), similarities)


def _read(connection: Connection, pair_id: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Matches of a pair, [M, 2], with their similarities, [M], where these are kept; empty where it has no row."""
    found = connection.rows(
        "SELECT CAST(data AS BLOB), digest, CAST(similarities AS BLOB) FROM matches "
        f"LEFT JOIN {SIMILARITIES} USING (pair_id) WHERE pair_id = ?",
        (pair_id,),
    )
    return [
        (read_matches(data, False), None if kept is None else read_similarities(data, digest, kept))
        for data, digest, kept in found
    ]


def _write(connection: Connection, pair_id: int, matches: np.ndarray, similarities: np.ndarray | None) -> None:
    _, rows, number, data = matches_row(pair_id, matches, False)
    connection.rows("UPDATE matches SET rows = ?, cols = ?, data = ? WHERE pair_id = ?", (rows, number, data, pair_id))
    if similarities is not None:
        _, digest, kept = similarities_row(pair_id, data, similarities)
        connection.rows(
            f"UPDATE {SIMILARITIES} SET digest = ?, similarities = ? WHERE pair_id = ?", (digest, kept, pair_id)
        )
