"""COLMAP's database file: making and checking it, keeping other runs out, and the tables that d2sfm adds."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from d2sfm.database.connection import Connection, open_pycolmap, require_room
from d2sfm.database.migration import carry_pose_priors
from d2sfm.files import part_path

COLMAP_TABLES = {"cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries"}

COPY_OF = "copy_of"  # setting: the path of the database that a working copy was made of
DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")  # SQLite leaves the others where the disk is full, or at a kill
OUTDATED = ""  # in place of the fingerprint of features that are to be written anew

# COLMAP's tools leave these alone, except Database.merge, which drops them. Rows go with their image.
OUR_TABLES = {
    "d2sfm_features": (
        "image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images(image_id) ON DELETE CASCADE, "
        "input_width INTEGER NOT NULL, input_height INTEGER NOT NULL, "
        "scales TEXT NOT NULL, convention TEXT NOT NULL, fingerprint TEXT NOT NULL, scores BLOB NOT NULL"
    ),
    "d2sfm_settings": "key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL",
    "d2sfm_cameras_given": ("camera_id INTEGER PRIMARY KEY NOT NULL REFERENCES cameras(camera_id) ON DELETE CASCADE"),
    "d2sfm_original_keypoints": (
        "image_id INTEGER PRIMARY KEY NOT NULL REFERENCES images(image_id) ON DELETE CASCADE, data BLOB NOT NULL"
    ),
    "d2sfm_refined_parts": (
        "number INTEGER PRIMARY KEY NOT NULL, fingerprint TEXT NOT NULL, nodes BLOB NOT NULL, positions BLOB NOT NULL"
    ),
}


def create_database(path: Path) -> None:
    """Make COLMAP's database where there is none (an empty file is none); bring an older one to COLMAP's newest schema.

    A new one gets its name when it has all tables: one with some of them would be no database to the next run.
    Raises FileNotFoundError where the folder is missing and RuntimeError where the file is no COLMAP database or is
    held by another process.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for the database {path.name}")
    if path.exists() and path.stat().st_size > 0:
        require_database(path)
        carry_pose_priors(path)
        with open_pycolmap(path):
            return
    path = path.resolve()
    if not os.access(path.parent, os.W_OK):
        raise RuntimeError(f"{path} can't be made: {path.parent} is read-only")
    require_room(path, 1_000_000)
    part = part_path(path)
    try:
        with open_pycolmap(part):
            pass
        part.replace(path)
    finally:
        remove_database(part)


def require_database(path: Path) -> None:
    """Raise FileNotFoundError where the file is missing, RuntimeError where it is no COLMAP database."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no database {path}")
    if not path.is_file():
        raise RuntimeError(f"{path} is no COLMAP database: it is no file")
    with Connection(path) as connection:
        missing = sorted(COLMAP_TABLES - tables(connection))
    if missing:
        raise RuntimeError(f"{path} is no COLMAP database: it has no table {', '.join(missing)}")


def tables(connection: Connection, schema: str = "main") -> set[str]:
    """Names of the tables in the file, or in an attached one."""
    return {name for (name,) in connection.rows(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'")}


def working_copy(source: Path, target: Path) -> None:
    """A whole copy of a database in a new file, also of what another connection has not yet brought into its file.

    A target that this made of the same file before is left as it is: work on it goes on. Raises FileNotFoundError where
    the source or the target's folder is missing, RuntimeError where the target is another file or lacks matches that
    the source got since, or the source is no COLMAP database or in use.
    """
    require_database(source)
    source, target = Path(source), Path(target)
    if target.exists():
        require_database(target)
        with Connection(target) as connection:
            is_copy, there = read_setting(connection, COPY_OF) == str(source.resolve()), _matched(connection)
        if not is_copy:
            raise RuntimeError(f"{target} exists already and is no copy of {source}: give the copy another name")
        with Connection(source) as connection:
            later = len(_matched(connection) - there)
        if later:
            raise RuntimeError(
                f"{target} was copied from {source} before {later} of its pairs were matched: remove it, or give the "
                "copy another name"
            )
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(f"no folder {target.parent} for the database {target.name}")
    part = part_path(target)
    try:
        with exclusive(source), Connection(source) as connection:
            connection.rows("VACUUM INTO ?", (str(part),))
        with Connection(part) as connection:
            create_our_tables(connection)
            write_setting(connection, COPY_OF, str(source.resolve()))
        part.rename(target)
    finally:
        remove_database(part)


def _matched(connection: Connection) -> set[tuple[int, int]]:
    """Pairs with their numbers of matches."""
    return set(connection.rows("SELECT pair_id, rows FROM matches"))


def remove_database(part: Path) -> None:
    """Remove an unfinished one where it is there, and what SQLite keeps beside it."""
    for suffix in DATABASE_SUFFIXES:
        Path(f"{part}{suffix}").unlink(missing_ok=True)


def read_setting(connection: Connection, key: str) -> str | None:
    """What d2sfm noted under a key, None where it noted nothing."""
    if "d2sfm_settings" not in tables(connection):
        return None
    rows = connection.rows("SELECT value FROM d2sfm_settings WHERE key = ?", (key,))
    return rows[0][0] if rows else None


def write_setting(connection: Connection, key: str, value: str) -> None:
    """Note a value under a key; our tables are there."""
    connection.rows("INSERT OR REPLACE INTO d2sfm_settings (key, value) VALUES (?, ?)", (key, value))


def refinement_note(connection: Connection) -> dict:
    """The options of the refinement that made the keypoints; empty where they are those of extraction.

    Features that are written again lose their originals, so the note alone says nothing; those that are to be written
    again have no say.
    """
    if not {"d2sfm_original_keypoints", "d2sfm_features"} <= tables(connection):
        return {}
    outdated = f"SELECT image_id FROM d2sfm_features WHERE fingerprint = '{OUTDATED}'"
    of_current = f"SELECT NULL FROM d2sfm_original_keypoints WHERE image_id NOT IN ({outdated}) LIMIT 1"
    return json.loads(read_setting(connection, "refinement") or "{}") if connection.rows(of_current) else {}


def create_our_tables(connection: Connection) -> None:
    """Make the tables of d2sfm where they are missing. Readers do without them, so that reading changes no file."""
    for name in sorted(OUR_TABLES.keys() - tables(connection)):
        connection.rows(f"CREATE TABLE {name} ({OUR_TABLES[name]})")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other runs of d2sfm away from the database, by a lock on the empty file ``<path>.lock`` beside it.

    The lock ends with the process, however it ends; a lock file that a killed run left behind stops nobody. Raises
    RuntimeError where the lock is held, by another run or in this one, or a file of that name is not empty and so none
    of d2sfm's; FileNotFoundError where the folder is missing.
    """
    file = Path(f"{Path(path).resolve()}.lock")
    lock = FileLock(file, blocking=False, thread_local=False, preserve_lock_file=True)
    try:
        if file.parent.exists():  # FileLock would make it
            lock.acquire()
    except Timeout:
        raise RuntimeError(f"{path} is in use by another run of d2sfm") from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS):
            raise RuntimeError(
                f"{path} can't be locked: its folder or {file.name} is read-only, or belongs to another user"
            ) from error
        raise RuntimeError(f"{path} can't be locked: {error}") from error
    if not lock.is_locked:
        raise FileNotFoundError(f"no folder {file.parent} for the database {file.stem}")
    try:
        if size := file.stat().st_size:
            raise RuntimeError(
                f"{path} can't be locked: {file} has {size} bytes, expected an empty file or none: give it another name"
            )
        try:
            yield
        finally:
            # While it is still locked: who opened it before finds in FileLock that it is gone, and takes it for in use.
            with suppress(OSError):  # Windows removes no open file: there it stays, empty
                file.unlink()
    finally:
        lock.release()
