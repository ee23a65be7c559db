"""The tables that d2sfm adds to COLMAP's."""

import pycolmap

from d2sfm.database import create_database
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.tables import OUR_TABLES, create_our_tables, tables


def test_our_tables_are_made_once_and_pycolmap_works_beside_them(tmp_path):
    database = tmp_path / "db.db"
    create_database(database)
    for _ in range(2):
        with Connection(database) as connection:
            create_our_tables(connection)
            assert OUR_TABLES.keys() <= tables(connection)
    with open_pycolmap(database) as colmap:
        colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
        colmap.clear_all_tables()
        assert colmap.num_cameras() == 0
