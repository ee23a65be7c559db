"""COLMAP's database file: finding, making and checking it, and copies to work on."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from d2sfm.database.bridge_tables import UNBRIDGED
from d2sfm.database.connection import Connection, open_pycolmap, require_utf8
from d2sfm.database.lock import exclusive, held_or_exclusive
from d2sfm.database.migration import bring_up_to_date
from d2sfm.database.notes import Note, Notes
from d2sfm.database.tables import COLMAP_TABLES, tables
from d2sfm.parts import SQLITE_SUFFIXES, part_of, sync
from d2sfm.system import require_room


def beside(model: Path | None, name: Path) -> Path | None:
    """The database of a name in the nearest of the model's folder and the two around it, or in the current folder."""
    around = [] if model is None else [model, *model.resolve().parents[:2]]
    here = Path()
    near = (here if folder == here.absolute() else folder for folder in (*around, here))
    return next((folder / name for folder in near if (folder / name).is_file()), None)


def create_database(path: Path) -> None:
    """Make COLMAP's database unless there is one, an empty file counting as none; bring an older one up to date.

    A new one gets its name when it has all tables: with some of them it would not be a database to the next run. Raises
    FileNotFoundError if the folder is missing and RuntimeError if the file is not a COLMAP database or is held by
    another process.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for the database {path.name}")
    if path.exists() and path.stat().st_size > 0:
        require_database(path)
        bring_up_to_date(path)
        return
    path = path.resolve()
    if not os.access(path.parent, os.W_OK):
        raise RuntimeError(f"{path} can't be made: {path.parent} is read-only")
    with held_or_exclusive(path), unfinished(path) as part:
        with open_pycolmap(part):
            pass
        put_in_place(part, path)


def require_database(path: Path) -> None:
    """Raise FileNotFoundError if the file is missing, RuntimeError if it is not a COLMAP database."""
    opened_database(path).close()


def opened_database(path: Path) -> Connection:
    """A connection to a database after a check. Raises as ``require_database`` does."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no database {path}: d2sfm extract --images DIR --database {path} makes one")
    if path.is_dir():
        raise RuntimeError(
            f"{path} is a folder, expected a COLMAP database: d2sfm extract --images DIR makes one from a folder of "
            "photographs, and d2sfm run DIR makes a model"
        )
    if not path.is_file():
        raise RuntimeError(f"{path} is not a COLMAP database: it is not a file")
    with ExitStack() as stack:
        connection = stack.enter_context(Connection(path))
        if missing := sorted(COLMAP_TABLES - tables(connection)):
            if not path.stat().st_size:
                raise RuntimeError(
                    f"{path} is an empty file, not a COLMAP database: d2sfm extract --images DIR --database {path} "
                    "makes one"
                )
            raise RuntimeError(
                f"{path} is not a COLMAP database: it lacks the {'table' if len(missing) == 1 else 'tables'} "
                f"{', '.join(missing)}: give the database of these images, or make one by d2sfm extract --images DIR "
                "--database NEW.db"
            )
        stack.pop_all()
    return connection


def working_copy(source: Path, target: Path) -> None:
    """A whole copy of a database in a new file, with what another connection has not yet written into the source.

    An earlier copy of the same file stays as it is, so that work on it continues. Raises FileNotFoundError if the
    source or the target's folder is missing, RuntimeError if the target is another file or the source's matches changed
    since, or the source is not a COLMAP database or in use.
    """
    require_database(source)
    source, target = Path(source), Path(target)
    if target.exists():
        require_database(target)
        with Connection(target) as connection:
            notes = Notes(connection).all()
        if notes.get(Note.COPY_OF) != str(source.resolve()):
            raise RuntimeError(f"{target} exists already and is not a copy of {source}: give the copy another name")
        with Connection(source) as connection:
            is_same = _digest_of_matches(connection) == notes.get(Note.COPIED_MATCHES)
        if not is_same:
            raise RuntimeError(
                f"{target} was copied from {source} before matches of it changed: delete it, or give the copy another "
                "name"
            )
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(f"no folder {target.parent} for the database {target.name}")
    with exclusive(source), exclusive(target), unfinished(target) as part:
        copy_whole(source, part, target)
        with Connection(source) as connection:
            images = Notes(connection).images_folder()
        with Connection(part) as connection:
            Notes(connection).write(Note.COPY_OF, str(source.resolve()))
            Notes(connection).write(Note.COPIED_MATCHES, _digest_of_matches(connection))
            if images is not None:
                Notes(connection).note_images_folder(images)
        put_in_place(part, target)


def _digest_of_matches(connection: Connection) -> str:
    """A digest of the pairs with their numbers of matches; those that ``d2sfm bridge`` has added to count without these
    additions, too.

    It is noted in a copy, whose own matches are no measure: refinement adds some to them, and takes some away.
    """
    sources = sorted({"matches", f"{UNBRIDGED}matches"} & tables(connection))
    union = " UNION ".join(f"SELECT pair_id, rows FROM {table}" for table in sources)
    return hashlib.sha256(repr(connection.rows(f"{union} ORDER BY pair_id, rows")).encode()).hexdigest()


def copy_whole(source: Path, part: Path, path: Path) -> None:
    """A copy that is to become ``path``, with what another connection has not yet written into the file.

    Raises RuntimeError that names ``path`` if the disk has no room for it, ValueError if that is not UTF-8.
    """
    require_utf8(str(path))
    require_room(path, sum(os.path.getsize(file) for file in _files_of(source)))
    with Connection(source) as connection:
        connection.rows("VACUUM INTO ?", (str(part),))


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """``parts.part_of`` for a database that is to take the name ``path``, see ``put_in_place``.

    RuntimeErrors that name the part name ``path`` instead.
    """
    with part_of(path) as part:
        try:
            yield part
        except RuntimeError as error:
            if not str(error).startswith(str(part)):
                raise
            raise RuntimeError(f"{path}{str(error)[len(str(part)) :]}") from error


def _files_of(database: Path) -> list[str]:
    return [file for suffix in SQLITE_SUFFIXES if os.path.exists(file := f"{database}{suffix}")]


def put_in_place(part: Path, path: Path) -> None:
    """Give a whole, closed database the name ``path``, whose lock the caller holds (``exclusive``).

    The database is missing or an empty file. What SQLite left beside an earlier one is removed: it would be replayed
    into this one. Raises RuntimeError if the disk is full.
    """
    with Connection(part) as connection:
        connection.rows("PRAGMA journal_mode = WAL")  # COLMAP's: a copy has none, and a pair would wait for the disk
    sync(part)
    for suffix in SQLITE_SUFFIXES[1:]:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    part.replace(path)
    sync(path.parent)
