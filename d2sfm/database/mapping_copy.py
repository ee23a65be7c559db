"""A copy of a database with what mapping reads of it."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from d2sfm.database.connection import sole_use
from d2sfm.database.patience import named_errors

NOT_FOR_MAPPING = "descriptors"  # most of a database


def copy_for_mapping(database: Path, copy: Path, without: Iterable[int] = ()) -> None:
    """Write to ``copy`` what mapping reads of the database, less the geometries of the pairs of the
    numbers ``without``.

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
            "DELETE FROM two_view_geometries WHERE pair_id = ?", ((int(pair_id),) for pair_id in without)
        )
        version = connection.execute("PRAGMA source.user_version").fetchone()[0]
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA user_version = {version}")
