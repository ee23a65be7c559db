"""Copies of a database with some of COLMAP's own tables, for parts of pycolmap that read or write no others."""

from collections.abc import Collection, Iterable
from pathlib import Path

from d2sfm.database.connection import Connection, open_pycolmap, sole_use
from d2sfm.database.tables import columns, tables


def copy_for_mapping(database: Path, copy: Path, without: Iterable[int] = ()) -> None:
    """Write to ``copy`` what mapping reads of the database, less the geometries of pairs, by numbers in ``without``.

    Descriptors, most of a database, stay behind. Raises as ``copy_tables``.
    """
    copy_tables(database, copy, {"descriptors"})
    with Connection(copy) as connection, connection.transaction():
        connection.run_many(
            "DELETE FROM two_view_geometries WHERE pair_id = ?", ((int(pair_id),) for pair_id in without)
        )


def copy_tables(database: Path, copy: Path, left_out: Collection[str]) -> None:
    """Write COLMAP's own tables to a new database, without rows where left out.

    Tables of other programs stay behind, whatever they are. New rows of the copy get ids that are new in the database,
    too. Raises RuntimeError if the database can't be read.
    """
    with open_pycolmap(copy):
        pass
    with sole_use(database), Connection(copy) as connection:
        connection.rows("PRAGMA foreign_keys = OFF")  # as rows are that the database holds, they are copied
        connection.attach(database, "source")
        with connection.transaction("DEFERRED"):  # others may write to the source
            own = tables(connection)
            for name in sorted(own - {*left_out, "sqlite_sequence"}):
                there = set(columns(connection, name, "source"))
                shared = ", ".join(f'"{column}"' for column in columns(connection, name) if column in there)
                if shared:
                    connection.rows(f"INSERT INTO main.{name} ({shared}) SELECT {shared} FROM source.{name}")
            if "sqlite_sequence" in tables(connection, "source"):
                connection.rows("DELETE FROM main.sqlite_sequence")
                marks = ", ".join("?" * len(own))
                connection.rows(
                    "INSERT INTO main.sqlite_sequence (name, seq) "
                    f"SELECT name, seq FROM source.sqlite_sequence WHERE name IN ({marks})",
                    sorted(own),
                )
