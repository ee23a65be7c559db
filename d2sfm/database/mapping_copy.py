"""A copy of a database with what mapping reads of it."""

from collections.abc import Iterable
from pathlib import Path

from d2sfm.database.connection import Connection, open_pycolmap, sole_use
from d2sfm.database.tables import columns, tables

NOT_FOR_MAPPING = {"descriptors", "sqlite_sequence"}  # the former are most of a database


def copy_for_mapping(database: Path, copy: Path, without: Iterable[int] = ()) -> None:
    """Write to ``copy`` what mapping reads of the database, less the geometries of pairs, by numbers in ``without``.

    These are the rows of COLMAP's own tables but for descriptors; those of other programs stay behind, whatever they
    are. Raises RuntimeError where the database can't be read.
    """
    with open_pycolmap(copy):
        pass
    with sole_use(database), Connection(copy) as connection:
        connection.rows("PRAGMA foreign_keys = OFF")  # as rows are that the database holds, they are copied
        connection.rows("ATTACH DATABASE ? AS source", (f"{database.resolve().as_uri()}?mode=rw",))
        with connection.transaction():
            for name in tables(connection) - NOT_FOR_MAPPING:
                there = set(columns(connection, name, "source"))
                shared = ", ".join(f'"{column}"' for column in columns(connection, name) if column in there)
                if shared:
                    connection.rows(f"INSERT INTO main.{name} ({shared}) SELECT {shared} FROM source.{name}")
            connection.run_many(
                "DELETE FROM two_view_geometries WHERE pair_id = ?", ((int(pair_id),) for pair_id in without)
            )
