"""Pairs that are matched again: which are still to be matched, across stopped runs.

They stay as they are until ``MatchStore.write`` replaces their matches, pair by pair.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.database.connection import Connection
from d2sfm.database.file import require_database
from d2sfm.database.notes import Note, Notes
from d2sfm.database.rows import json_object
from d2sfm.database.tables import PAIRS_ANEW, create_our_tables, tables


class PairsToOverwrite(NamedTuple):
    """What a stopped run has left.

    settings: of the new matches. pending: numbers (see ``pair_ids``) of the pairs that still have their old matches,
    [P] int64, ascending.
    """

    settings: dict
    pending: np.ndarray


def begin_overwriting_pairs(path: Path, ids: np.ndarray, settings: Mapping) -> None:
    """Note in one transaction that the pairs of these numbers are to be matched again.

    A stopped run of the same settings continues: pairs that it has written are not noted again. A stopped refine
    --overwrite does not, as its matches go. Raises as any ``Store``.
    """
    noted = json.dumps(settings, sort_keys=True)
    with Connection(path) as connection:
        create_our_tables(connection)
        with connection.transaction():
            if Notes(connection).read(Note.MATCHING_ANEW) != noted:
                connection.rows(f"DELETE FROM {PAIRS_ANEW}")
                Notes(connection).write(Note.MATCHING_ANEW, noted)
            Notes(connection).remove(Note.REFINING_ANEW)
            values = ((pair_id,) for pair_id in ids.tolist())
            connection.run_many(f"INSERT OR IGNORE INTO {PAIRS_ANEW} (pair_id, is_written) VALUES (?, FALSE)", values)


def pairs_to_overwrite(path: Path) -> PairsToOverwrite | None:
    """What an unfinished run has left; None if there is none. Raises as ``require_database``."""
    require_database(path)
    with Connection(path) as connection:
        noted = Notes(connection).read(Note.MATCHING_ANEW)
        if noted is None or PAIRS_ANEW not in tables(connection):
            return None
        sql = f"SELECT pair_id FROM {PAIRS_ANEW} JOIN matches USING (pair_id) WHERE NOT is_written ORDER BY pair_id"
        settings = json_object(path, Note.MATCHING_ANEW, noted)
        return PairsToOverwrite(settings, connection.table(sql, [("pair_id", np.int64)])["pair_id"])


def end_overwriting_pairs(path: Path) -> None:
    """Note that no pair is still to be matched again."""
    with Connection(path) as connection, connection.transaction():
        forget_overwriting_pairs(connection)


def forget_overwriting_pairs(connection: Connection) -> None:
    """The same in a transaction of the caller."""
    if PAIRS_ANEW in tables(connection):
        connection.rows(f"DELETE FROM {PAIRS_ANEW}")
    Notes(connection).remove(Note.MATCHING_ANEW)
