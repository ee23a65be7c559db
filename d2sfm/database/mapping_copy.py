"""Copies of a database with some of COLMAP's own tables, for parts of pycolmap that read or write no others."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from d2sfm.database.connection import Connection, open_pycolmap, sole_use
from d2sfm.database.tables import columns, tables


def copy_for_mapping(
    database: Path, copy: Path, without: Iterable[int] = (), images: Iterable[int] | None = None
) -> None:
    """Write to ``copy`` what mapping reads of the database, less the geometries of pairs, by numbers in ``without``.

    images: ids of those whose keypoints are copied (None: all); ``without`` must have all pairs of others. Descriptors
    and matches, most of a database, stay behind. Raises as ``copy_tables``.
    """
    rows = {"two_view_geometries": ("pair_id NOT IN", without)}
    if images is not None:
        rows["keypoints"] = ("image_id IN", images)
    copy_tables(database, copy, {"descriptors", "matches"}, rows)


def copy_tables(
    database: Path, copy: Path, left_out: Collection[str], rows: Mapping[str, tuple[str, Iterable[int]]] | None = None
) -> None:
    """Write COLMAP's own tables to a new database, without rows where left out.

    rows: by table, which rows are copied: a condition up to its list of numbers, and these. Tables of other programs
    stay behind, whatever they are. New rows of the copy get ids that are new in the database, too. Raises RuntimeError
    if the database can't be read.
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
                    some, values = _condition(rows or {}, name)
                    connection.rows(
                        f"INSERT INTO main.{name} ({shared}) SELECT {shared} FROM source.{name}{some}", values
                    )
            if "sqlite_sequence" in tables(connection, "source"):
                connection.rows("DELETE FROM main.sqlite_sequence")
                marks = ", ".join("?" * len(own))
                connection.rows(
                    "INSERT INTO main.sqlite_sequence (name, seq) "
                    f"SELECT name, seq FROM source.sqlite_sequence WHERE name IN ({marks})",
                    sorted(own),
                )


def _condition(rows: Mapping[str, tuple[str, Iterable[int]]], table: str) -> tuple[str, list[str]]:
    """The condition of a table's rows, and its value; empty for all rows."""
    if table not in rows:
        return "", []
    condition, numbers = rows[table]
    return f" WHERE {condition} (SELECT value FROM json_each(?))", [json.dumps([int(each) for each in numbers])]
