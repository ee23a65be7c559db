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
            elif name == "descriptors":
                assert rows[0]
                assert not rows[1]
            elif name != "sqlite_sequence":
                assert rows[0] == rows[1]
    with pycolmap.Database.open(copy) as colmap:
        assert colmap.num_images() == 4
