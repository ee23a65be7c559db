"""What goes with an image's features, compared with a plain look at every pair."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.feature_database import descriptors_of_place, write_feature_database

from d2sfm.database import FeatureStore, create_database
from d2sfm.database.connection import Connection
from d2sfm.database.removal import MAX_IMAGES, remove_features, remove_pairs
from d2sfm.database.tables import PAIR_TABLES, has_rows

IDS = [1, 2, 7, 8, MAX_IMAGES - 1]
PAIRS = [(i, j) for i in IDS for j in IDS if i < j]


@settings(max_examples=examples(20))
@given(st.sets(st.sampled_from(PAIRS)), st.sets(st.sampled_from(PAIRS)), st.sampled_from(IDS))
def test_the_pairs_of_an_image_go_and_no_others(tmp_path_factory, matched, verified, image_id):
    path = tmp_path_factory.mktemp("pairs") / "db.db"
    create_database(path)
    with Connection(path) as connection:
        connection.rows("INSERT INTO cameras VALUES (1, 0, 8, 8, x'', 0)")
        connection.run_many(
            "INSERT INTO images (image_id, name, camera_id) VALUES (?, ?, 1)", [(each, str(each)) for each in IDS]
        )
        for table, pairs in zip(PAIR_TABLES, (matched, verified), strict=True):
            columns = "pair_id, rows, cols" + (", config" if table == "two_view_geometries" else "")
            values = "?, 0, 2" + (", 0" if table == "two_view_geometries" else "")
            ids = [(MAX_IMAGES * i + j,) for i, j in pairs]
            connection.run_many(f"INSERT INTO {table} ({columns}) VALUES ({values})", ids)
        with connection.transaction():
            remove_pairs(connection, image_id)
        for table, pairs in zip(PAIR_TABLES, (matched, verified), strict=True):
            left = {divmod(pair_id, MAX_IMAGES) for (pair_id,) in connection.rows(f"SELECT pair_id FROM {table}")}
            assert left == {pair for pair in pairs if image_id not in pair}


def test_notes_go_with_the_last_that_they_are_about(tmp_path):
    path = write_feature_database(tmp_path / "db.db", {name: descriptors_of_place(0, 0) for name in "ab"})
    with FeatureStore(path) as store:
        for key in ("match", "refinement", "foreign", "images"):
            store.notes.write(key, "{}")
    with Connection(path) as connection:
        connection.rows("INSERT INTO matches (pair_id, rows, cols) VALUES (?, 0, 2)", (MAX_IMAGES * 1 + 2,))
        connection.run_many(
            "INSERT INTO d2sfm_original_keypoints VALUES (?, ?)", [(i, np.zeros(4).tobytes()) for i in (1, 2)]
        )
        remove_features(connection, 1)
        assert has_rows(connection, "d2sfm_original_keypoints")
        assert noted(connection) == {"refinement", "foreign", "images"}
        remove_features(connection, 2)
        assert noted(connection) == {"images"}
        assert not any(has_rows(connection, table) for table in ("keypoints", "descriptors", "d2sfm_features"))


def noted(connection):
    return {key for (key,) in connection.rows("SELECT key FROM d2sfm_settings")}
