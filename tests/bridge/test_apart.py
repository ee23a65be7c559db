"""Which images verified pairs leave apart."""

import numpy as np
import pytest
from support.bridge_database import NAMES, write_foreign
from support.small_map import write_true_model

from d2sfm.bridge.apart import largest_group, outside_of, verified_pairs
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids

IDS = np.arange(1, 7, dtype=np.uint32)


def test_the_largest_group_by_what_connects_it():
    assert largest_group(np.array([[1, 2], [4, 5], [5, 6]])).tolist() == [4, 5, 6]
    assert largest_group(np.zeros((0, 2), int)).tolist() == []


def test_apart_is_what_is_outside_or_not_in_the_model(tmp_path):
    names = {image_id: f"{image_id - 1}.png" for image_id in IDS.tolist()}
    assert outside_of(IDS, np.array([[1, 2], [4, 5], [5, 6]]), names, None).tolist() == [1, 2, 3]
    write_true_model(tmp_path / "model", [0, 2, 4])
    assert outside_of(IDS, np.array([[1, 2]]), names, tmp_path / "model").tolist() == [2, 4, 6]
    with pytest.raises(RuntimeError, match="none of the 2 images of the database"):
        outside_of(IDS[:2], np.array([[1, 2]]), {1: "a.png", 2: "b.png"}, tmp_path / "model")


def test_pairs_that_chance_explains_connect_nothing(tmp_path):
    database = write_foreign(tmp_path / "db.db", names=(*NAMES, "4.png"))
    with Connection(database) as connection:
        for pair, matches, inliers in (((1, 2), 50, 40), ((2, 3), 400, 16)):
            for table, rows in (("matches", matches), ("two_view_geometries", inliers)):
                columns, values = ("", "") if table == "matches" else (", config", ", 2")
                connection.rows(
                    f"INSERT OR REPLACE INTO {table} (pair_id, rows, cols, data{columns}) VALUES (?, ?, 2, ?{values})",
                    (int(pair_ids(*pair)), rows, bytes(8 * rows)),
                )
    assert verified_pairs(database).tolist() == [[1, 2]]
