"""The unfinished layer: a file beside the database, from which a stopped run continues."""

from collections.abc import Callable
from pathlib import Path

from d2sfm.database import BridgeStore, FeatureStore, Note
from d2sfm.database.bridge_store import add_images, write_empty_layer, write_layer
from d2sfm.database.file import put_in_place, require_database, unfinished
from d2sfm.parts import SQLITE_SUFFIXES


def layer_file(database: Path) -> Path:
    """The file of the D2 features that the database will get."""
    return database.with_name(f"{database.name}.bridge")


def small_file(database: Path) -> Path:
    """The file of features of all photographs at a small size, which tell which look alike."""
    return database.with_name(f"{database.name}.bridge-small")


def begin_layer(database: Path) -> Path:
    """The layer, with those D2 features that the database has or a stopped run has made. Raises as ``add_images``."""
    layer = _begin(database, layer_file(database), write_layer)
    with FeatureStore(layer) as store:
        store.notes.remove(Note.BRIDGE)  # which is of an earlier run: this one is not through
    return layer


def begin_small(database: Path) -> Path:
    """The features of small photographs, with those that a stopped run has made. Raises as ``add_images``."""
    return _begin(database, small_file(database), write_empty_layer)


def fingerprints(database: Path) -> set[str]:
    """Of the D2 features that the layer has, or will begin with."""
    if not (layer := layer_file(database)).exists():
        with BridgeStore(database) as store:
            return store.fingerprints()
    with FeatureStore(layer) as store:
        return set(store.extracted().values())


def _begin(database: Path, path: Path, write: Callable[[Path, Path], None]) -> Path:
    if path.exists():
        require_database(path)
        add_images(database, path)
    else:
        with unfinished(path) as part:
            write(database, part)
            put_in_place(part, path)
    return path


def is_through(database: Path, noted: str | None) -> bool:
    """Whether the files, where they are, are of a run that was through: it was killed before it removed them.

    noted: its note in the database, which its layer has then, too.
    """
    if not (layer := layer_file(database)).exists():  # it goes first
        return True
    with FeatureStore(layer) as store:
        return noted is not None and store.notes.read(Note.BRIDGE) == noted


def remove_work(database: Path) -> None:
    """Remove both files, where they are."""
    for path in (layer_file(database), small_file(database)):
        for suffix in SQLITE_SUFFIXES:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
