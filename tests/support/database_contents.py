"""All that a database holds, in a form that can be compared, and whether it is whole."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from d2sfm.database.pair_ids import MAX_IMAGES, image_pairs
from d2sfm.database.pair_rows import read_similarities
from d2sfm.database.tables import OUR_PAIR_TABLES, REFUSED, REFUTED, SIMILARITIES

OF_ONE_RUN = {"images", "images_beside", "copy_of", "copied_matches"}  # settings: folders differ from test to test


def contents(database: Path) -> dict:
    """Rows of features, of pairs and of our notes, by names of images instead of ids."""
    with closing(sqlite3.connect(database)) as connection:
        names = dict(connection.execute("SELECT image_id, name FROM images"))
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

        def by_image(table):
            rows = connection.execute(f"SELECT * FROM {table}") if table in there else []
            return {names[image_id]: row for image_id, *row in rows}

        def by_pair(table):
            rows = connection.execute(f"SELECT * FROM {table}")
            return {(names[pair_id // MAX_IMAGES], names[pair_id % MAX_IMAGES]): row for pair_id, *row in rows}

        settings = connection.execute("SELECT * FROM d2sfm_settings") if "d2sfm_settings" in there else []
        found = {table: by_image(table) for table in ("keypoints", "descriptors", "d2sfm_features")}
        found["originals"], found["sigmas"] = map(by_image, ("d2sfm_original_keypoints", "d2sfm_keypoint_sigmas"))
        found |= {table: by_pair(table) for table in ("matches", "two_view_geometries")}
        found |= {table: by_pair(table) if table in there else {} for table in OUR_PAIR_TABLES}
        cameras = "SELECT name, model, width, height, params FROM images JOIN cameras USING (camera_id)"
        return found | {
            "cameras": {name: row for name, *row in connection.execute(cameras)},
            "images": sorted(names.values()),
            "settings": {key: value for key, value in settings if key not in OF_ONE_RUN},
        }


def rows(database: Path, *tables: str) -> dict[str, list[tuple]]:
    """All rows of tables, as they are, sorted by the first column."""
    with closing(sqlite3.connect(database)) as connection:
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables}


def require_whole(database: Path) -> dict:
    """The contents, after a look at whether the file is sound and no image or pair is there in part."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    found = contents(database)
    assert found["keypoints"].keys() == found["descriptors"].keys() == found["d2sfm_features"].keys()
    for name, (rows, _, data) in found["keypoints"].items():
        _, of_descriptors, row_bytes, descriptors = found["descriptors"][name]
        *_, scores, orientation, _, _, continued = found["d2sfm_features"][name]
        assert rows == len(data) // 16
        assert rows - continued == of_descriptors == len(descriptors) // row_bytes == len(scores) // 4
        assert orientation in range(1, 9)
    for pair, (rows, _, data) in found["matches"].items():
        assert len(data or b"") == 8 * rows
        assert found["keypoints"].keys() >= set(pair)
        if pair in found[SIMILARITIES]:
            assert read_similarities(data, *found[SIMILARITIES][pair]) is not None
        keypoints = [found["keypoints"][name][0] for name in pair]
        for table, column in {"matches": 2, "two_view_geometries": 2, REFUTED: 0}.items():
            indices = found[table][pair][column] if pair in found[table] else None
            assert (np.frombuffer(indices or b"", "<u4").reshape(-1, 2) < keypoints).all()
    for name, (data,) in found["sigmas"].items():
        sigmas = np.frombuffer(data, "<f4")
        assert len(sigmas) == found["keypoints"][name][0]
        assert not np.isinf(sigmas).any()
    assert found["matches"].keys() >= found[SIMILARITIES].keys()
    assert all(found["two_view_geometries"][pair][0] == 0 for pair in found[REFUSED])
    return found


def done_pairs(store, verified):
    """The pairs of image ids that ``MatchStore.done_pairs`` numbers."""
    numbers = store.done_pairs(verified)
    assert (np.diff(numbers) > 0).all()
    return set(map(tuple, image_pairs(numbers).tolist()))


def dump(database: Path) -> str:
    """All that a database holds, to the bit, in the order of its rows."""
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump())
