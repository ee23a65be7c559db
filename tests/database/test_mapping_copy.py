"""A copy of a database for mapping."""

import sqlite3
from contextlib import closing

import pycolmap

from d2sfm.database.connection import open_pycolmap
from d2sfm.database.mapping_copy import copy_for_mapping


def test_a_copy_has_all_that_mapping_reads_but_the_pairs_left_out(tmp_path):
    path, copy, pair = tmp_path / "db.db", tmp_path / "copy.db", (1, 4)
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=4, num_points3D=100
    )
    with open_pycolmap(path) as colmap:
        pycolmap.synthesize_dataset(options, colmap)
    copy_for_mapping(path, copy, [pycolmap.image_pair_to_pair_id(*pair)])
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
        tables = [name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in tables:
            if name.startswith("d2sfm_"):
                continue
            rows = [connection.execute(f'SELECT * FROM "{name}"').fetchall() for connection in (old, new)]
            if name == "two_view_geometries":
                left_out = {pycolmap.image_pair_to_pair_id(*pair)}
                assert {row[0] for row in rows[0]} - {row[0] for row in rows[1]} == left_out
            elif name in {"descriptors", "matches"}:
                assert rows[0]
                assert not rows[1]
            elif name != "sqlite_sequence":
                assert rows[0] == rows[1]
    with pycolmap.Database.open(copy) as colmap:
        assert colmap.num_images() == 4


def test_a_copy_of_some_images_has_no_others_keypoints(tmp_path):
    path, copy = tmp_path / "db.db", tmp_path / "copy.db"
    options = pycolmap.SyntheticDatasetOptions(num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=4)
    with open_pycolmap(path) as colmap:
        pycolmap.synthesize_dataset(options, colmap)
    outside = [pycolmap.image_pair_to_pair_id(a, b) for a, b in ((1, 4), (2, 4), (3, 4))]
    copy_for_mapping(path, copy, outside, {1: "a", 2: "b", 3: "c"})
    with pycolmap.Database.open(copy) as colmap:
        assert [colmap.exists_keypoints(image_id) for image_id in (1, 2, 3, 4)] == [True, True, True, False]
        assert len(colmap.read_two_view_geometries()[0]) == 3


def test_tables_of_other_programs_stay_behind(tmp_path):
    path, copy = tmp_path / "db.db", tmp_path / "copy.db"
    with open_pycolmap(path) as colmap:
        colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE VIRTUAL TABLE words USING fts5(text); INSERT INTO words VALUES ('one two');
            CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes VALUES (1, 2, 3);
            CREATE TABLE "of ""others"", too" (a, b AS (a + 1)); INSERT INTO "of ""others"", too" VALUES (1);
            CREATE INDEX "their ""index" ON "of ""others"", too" (a); CREATE INDEX widths ON cameras (width + 1);
            CREATE VIEW seen AS SELECT * FROM cameras; ALTER TABLE cameras ADD COLUMN "of the user" TEXT;
            CREATE TRIGGER no_more BEFORE INSERT ON cameras BEGIN SELECT raise(FAIL, 'no'); END;
            """
        )
    copy_for_mapping(path, copy)
    with pycolmap.Database.open(copy) as colmap:
        assert [camera.width for camera in colmap.read_all_cameras()] == [4]
    with closing(sqlite3.connect(copy)) as connection, closing(sqlite3.connect(tmp_path / "new.db")) as new:
        pycolmap.Database.open(tmp_path / "new.db").close()
        names = "SELECT name FROM sqlite_master ORDER BY name"
        assert connection.execute(names).fetchall() == new.execute(names).fetchall()
