"""D2 features beside those of other extractors, where databases are merged."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from d2sfm.database import BridgeStore, Note
from d2sfm.database.bridge_tables import LAYER, is_bridged
from d2sfm.database.connection import Connection
from d2sfm.database.tables import SETTINGS, tables
from d2sfm.features.fingerprints import clash, difference

# Of the layer's notes, what says nothing of a merged database: its folder of photographs is noted as that of the whole.
_OF_ONE_FILE = (Note.BRIDGE, Note.IMAGES, Note.IMAGES_BESIDE)


class _Bridge(NamedTuple):
    path: Path
    fingerprints: list[str]
    refinement: str | None


def require_alike(sources: Sequence[Path]) -> None:
    """Raise RuntimeError where D2 features beside others were made or refined otherwise in two of the databases."""
    found = []
    for path in sources:
        with BridgeStore(path) as store:
            if store.is_bridged():
                found.append(_Bridge(path, sorted(store.fingerprints()), store.noted(Note.REFINEMENT)))
    for first, other in combinations(found, 2):
        what = next(
            (
                (difference(a, b), difference(b, a))
                for a in first.fingerprints
                for b in other.fingerprints
                if clash(a, b)
            ),
            (first.refinement, other.refinement),
        )
        if what[0] != what[1]:
            raise RuntimeError(
                f"{first.path} has D2 features with {what[0]} beside others, {other.path} with {what[1]}: run d2sfm "
                "bridge --restore on one, and d2sfm bridge on what they are merged into"
            )


def join_bridge_notes(connection: Connection) -> None:
    """Notes of the layer of a database that is merged with another, attached as ``other``, in a transaction of the
    caller."""
    if is_bridged(connection):
        if f"{LAYER}{SETTINGS}" in tables(connection, "other"):
            connection.rows(f"INSERT OR IGNORE INTO main.{LAYER}{SETTINGS} SELECT * FROM other.{LAYER}{SETTINGS}")
        marks = ", ".join("?" * len(_OF_ONE_FILE))
        connection.rows(f"DELETE FROM main.{LAYER}{SETTINGS} WHERE key IN ({marks})", _OF_ONE_FILE)
