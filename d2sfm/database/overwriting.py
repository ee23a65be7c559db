"""Features that are written anew: which are still to be, through any number of stopped runs.

They count as none from the start of the run. They and the pairs that hang on them stay where they are until
``FeatureStore.write`` puts the new ones in their place, image by image.
"""

from collections.abc import Iterable
from pathlib import Path

from d2sfm.database.connection import Connection
from d2sfm.database.file import require_database
from d2sfm.database.notes import Note, Notes
from d2sfm.database.tables import FEATURES, OUTDATED, create_our_tables, tables


def begin_overwriting(path: Path, names: Iterable[str], run: str) -> None:
    """Note, all at once, that the features of these images are to be written anew.

    run: what tells it from others, its fingerprint among it. A stopped one goes on: what it has written is not noted
    again. Raises as ``FeatureStore``.
    """
    with Connection(path) as connection:
        create_our_tables(connection)
        with connection.transaction():
            if Notes(connection).read(Note.OVERWRITING) == run:
                return
            of_image = "image_id = (SELECT image_id FROM images WHERE name = ?)"
            connection.run_many(
                f"UPDATE {FEATURES} SET fingerprint = '{OUTDATED}' WHERE {of_image}", [(name,) for name in names]
            )
            Notes(connection).write(Note.OVERWRITING, run)


def stopped_overwriting(path: Path) -> str | None:
    """What an unfinished overwriting run has noted; None if there is none."""
    with Connection(path) as connection:
        return Notes(connection).read(Note.OVERWRITING)


def end_overwriting(path: Path) -> None:
    """Note that a run is through, whatever features it could not write anew."""
    with Connection(path) as connection:
        Notes(connection).remove(Note.OVERWRITING)


def outdated_images(path: Path) -> dict[str, int]:
    """Ids by name of the images that have features which are to be written anew."""
    require_database(path)
    with Connection(path) as connection:
        if FEATURES not in tables(connection):
            return {}
        sql = f"SELECT name, image_id FROM images JOIN {FEATURES} USING (image_id) WHERE fingerprint = ?"
        return dict(connection.rows(f"{sql} ORDER BY name", (OUTDATED,)))
