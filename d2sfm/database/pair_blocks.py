"""Rows of pairs in a file of their own, from where one writer takes them into the database."""

from pathlib import Path

from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.pair_rows import COLUMNS
from d2sfm.database.tables import create_our_tables, tables


def add_pair_rows(database: Path, block: Path) -> None:
    """Write all rows of pairs that a file holds in place of those that the database has of these pairs.

    In one transaction. The file has the tables of pairs with the columns of ``pair_rows.COLUMNS``, or some of them, and
    is only read. Raises RuntimeError where either can't be read or written.
    """
    with sole_use(block), Connection(database) as connection:
        create_our_tables(connection)
        connection.attach(block, "block", is_constant=True)
        with connection.transaction():
            for table, names in COLUMNS.items():
                if table in tables(connection, "block"):
                    listed = ", ".join(names)
                    connection.rows(
                        f"INSERT OR REPLACE INTO main.{table} ({listed}) SELECT {listed} FROM block.{table}"
                    )
