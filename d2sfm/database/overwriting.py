"""Features that are written again: which are still to be written, across stopped runs.

They no longer count from the start of the run. They and their pairs stay in the database until ``FeatureStore.write``
replaces them, image by image.
"""

from collections.abc import Iterable
from pathlib import Path

from d2sfm.database.connection import Connection
from d2sfm.database.file import require_database
from d2sfm.database.notes import Note, Notes
from d2sfm.database.tables import FEATURES, OUTDATED, create_our_tables, tables


def begin_overwriting(path: Path, names: Iterable[str], run: str) -> None:
    """Note in one transaction that the features of these images are to be written again.

    run: what identifies it, with its fingerprint. A stopped run continues: images that it has written are not noted
    again. Raises as ``FeatureStore``.
    """
    with Connection(path) as connection:
        create_our_tables(connection)
        with connection.transaction():
            if Notes(connection).read(Note.OVERWRITING) == run:
                return
            written = dict(connection.rows(f"SELECT name, image_id FROM images JOIN {FEATURES} USING (image_id)"))
            connection.run_many(
                f"UPDATE {FEATURES} SET fingerprint = '{OUTDATED}' WHERE image_id = ?",
                [(written[name],) for name in names if name in written],
            )
            Notes(connection).write(Note.OVERWRITING, run)


def stopped_overwriting(path: Path) -> str | None:
    """What an unfinished overwriting run has noted; None if there is none."""
    with Connection(path) as connection:
        return Notes(connection).read(Note.OVERWRITING)


def end_overwriting(path: Path) -> None:
    """Note that a run has finished, even if some features could not be written again."""
    with Connection(path) as connection:
        Notes(connection).remove(Note.OVERWRITING)


def outdated_images(path: Path) -> dict[str, int]:
    """Ids by name of the images whose features are to be written again."""
    require_database(path)
    with Connection(path) as connection:
        if FEATURES not in tables(connection):
            return {}
        sql = f"SELECT name, image_id FROM images JOIN {FEATURES} USING (image_id) WHERE fingerprint = ?"
        return dict(connection.rows(f"{sql} ORDER BY name", (OUTDATED,)))
