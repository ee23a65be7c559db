"""What a bridged database holds of each image, and its D2 features as a database of their own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.database.bridge_tables import BRIDGED_IMAGES, BRIDGED_PAIRS, LAYER, LAYER_TABLES, UNBRIDGED, is_bridged
from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.mapping_copy import copy_tables
from d2sfm.database.notes import Note
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.rows import of_images
from d2sfm.database.store import Store
from d2sfm.database.tables import FEATURES, PAIR_TABLES, SETTINGS, columns, create_our_tables, tables
from d2sfm.parts import scratch_folder

logger = logging.getLogger(__name__)

_EXTRACTORS = {"keypoints", "descriptors", *PAIR_TABLES}


class BridgedImage(NamedTuple):
    """An image that has keypoints of D2-Net behind those of another extractor.

    first: the index of its first D2 keypoint, which is how many the extractor had found; count: of D2 keypoints, with
    those of continued tracks.
    """

    image_id: int
    name: str
    first: int
    count: int


class BridgeStore(Store):
    """D2 keypoints in a database of another extractor, opened as any ``Store``."""

    def is_bridged(self) -> bool:
        """Whether ``d2sfm bridge`` has added any."""
        return is_bridged(self._connection)

    def images(self) -> dict[str, BridgedImage]:
        """The images to which it added keypoints, by name, sorted; not those extracted again since."""
        return {image.name: image for image in self._images() if image.count >= 0}

    def torn(self) -> list[str]:
        """Sorted names of the images whose keypoints another tool has replaced since."""
        return [image.name for image in self._images() if image.count < 0]

    def own_counts(self) -> dict[int, int]:
        """How many keypoints the extractor has found in each image, by image_id; 0 where none."""
        counted = "max(CAST(coalesce(rows, 0) AS INTEGER), 0)"
        rows = self._connection.rows(f"SELECT image_id, {counted} FROM images LEFT JOIN keypoints USING (image_id)")
        return dict(rows) | {image.image_id: image.first for image in self.images().values()}

    def pairs(self) -> np.ndarray:
        """The pairs of images to which matches were added, by image ids, [P, 2] uint32, ascending."""
        if not self.is_bridged():
            return np.zeros((0, 2), np.uint32)
        sql = f"SELECT pair_id FROM {BRIDGED_PAIRS} ORDER BY pair_id"
        return image_pairs(self._connection.table(sql, [("pair_id", np.int64)])["pair_id"])

    def own_rows(self, table: str) -> dict[int, int]:
        """How many matches, or inliers, the extractor's keypoints have in each pair that has a row of its own, by the
        number of the pair (see ``pair_ids``): they come first in the row. table: ``matches`` or
        ``two_view_geometries``."""
        found = dict(self._connection.rows(f"SELECT pair_id, max(CAST(rows AS INTEGER), 0) FROM {table}"))
        if not self.is_bridged():
            return found
        pairs = pair_ids(*self.pairs().T)
        pairs = set(pairs[of_images(pairs, [image.image_id for image in self.images().values()])].tolist())
        before = dict(self._connection.rows(f"SELECT pair_id, rows FROM {UNBRIDGED}{table}"))
        there = {pair_id: rows for pair_id, rows in found.items() if pair_id not in pairs}
        return there | {pair_id: before[pair_id] for pair_id in pairs if pair_id in before}

    def images_folder(self) -> Path | None:
        """As ``Notes.images_folder``, also if only the run that bridged the database noted it."""
        folder, noted = self.notes.images_folder(), self.noted(Note.IMAGES)
        return folder if folder is not None or noted is None else Path(noted)

    def find_images_folder(self, given: Path | str | None) -> Path:
        """As ``Notes.find_images_folder``, of these."""
        return self.notes.find_images_folder(self.images_folder() if given is None else given)

    def noted(self, note: Note) -> str | None:
        """A note of the layer; None if there is none."""
        if not self.is_bridged():
            return None
        rows = self._connection.rows(f"SELECT value FROM {LAYER}{SETTINGS} WHERE key = ?", (note,))
        return rows[0][0] if rows else None

    def fingerprints(self) -> set[str]:
        """Of the settings that the D2 features were made with."""
        if not self.is_bridged():
            return set()
        return {found for (found,) in self._connection.rows(f"SELECT DISTINCT fingerprint FROM {LAYER}{FEATURES}")}

    def _images(self) -> list[BridgedImage]:
        if not self.is_bridged():
            return []
        rows = self._connection.rows(
            f"SELECT image_id, name, coalesce(of_image.keypoints, 0), iif(keypoints.rows = "
            f"coalesce(of_image.keypoints, 0) + of_layer.rows, of_layer.rows, -1) FROM {BRIDGED_IMAGES} AS of_image "
            f"JOIN images USING (image_id) JOIN {LAYER}keypoints AS of_layer USING (image_id) "
            "LEFT JOIN keypoints USING (image_id) ORDER BY name"
        )
        return [BridgedImage(*row) for row in rows]


def require_not_bridged(path: Path, command: str) -> None:
    """RuntimeError if a database is bridged. command: the d2sfm command that does not take such a database."""
    with BridgeStore(path) as store:
        if store.is_bridged():
            raise RuntimeError(
                f"{path} holds D2 features beside those of another extractor (d2sfm bridge), and d2sfm {command} needs "
                "a database with one kind of features: d2sfm bridge --restore takes them out"
            )


@contextmanager
def layer_of(database: Path) -> Iterator[Path]:
    """The D2 features, matches, geometries, refinement and notes of a bridged database as one of d2sfm's own, in a
    scratch folder, for the block: ``FeatureStore`` and all others read it.

    Ids of images and cameras are those of the bridged one; keypoint k there is ``BridgedImage.first + k`` here.
    """
    with scratch_folder() as folder:
        write_layer(database, layer := folder / "layer.db")
        yield layer


@contextmanager
def own_features(database: Path) -> Iterator[Path]:
    """A database with d2sfm features for the block: the layer of a bridged one, with a line in the log, else the
    database itself."""
    with BridgeStore(database) as store:
        is_bridged = store.is_bridged()
    if not is_bridged:
        yield database
        return
    logger.info("%s is bridged: its D2 features are used", database)
    with layer_of(database) as layer:
        yield layer


def write_empty_layer(database: Path, layer: Path) -> None:
    """Images, cameras and frames of a database in a new file, for d2sfm features."""
    copy_tables(database, layer, _EXTRACTORS)
    with Connection(layer) as connection:
        create_our_tables(connection)


def write_layer(database: Path, layer: Path) -> None:
    """The same with the D2 features that the database has."""
    write_empty_layer(database, layer)
    with sole_use(database), Connection(layer) as connection:
        connection.attach(database, "source")
        with connection.transaction():
            there = tables(connection, "source")
            for name in LAYER_TABLES:
                if f"{LAYER}{name}" in there:
                    _copy(connection, ("source", f"{LAYER}{name}"), ("main", name))


def add_images(database: Path, layer: Path) -> None:
    """Bring images that the database got after its layer was written into the layer, with cameras and frames.

    Raises RuntimeError if images of the layer are no longer there.
    """
    with sole_use(database), Connection(layer) as connection:
        connection.attach(database, "source")
        with connection.transaction():
            sql = "SELECT image_id, name FROM main.images EXCEPT SELECT image_id, name FROM source.images"
            if gone := connection.rows(sql):
                raise RuntimeError(
                    f"{layer}, left by a stopped d2sfm bridge, holds images that are no longer in {database} "
                    f"({gone[0][1]} the first): remove {layer.name}"
                )
            for name in sorted(tables(connection) & tables(connection, "source") - {*_EXTRACTORS, "sqlite_sequence"}):
                if not name.startswith("d2sfm"):
                    _copy(connection, ("source", name), ("main", name), "INSERT OR IGNORE")


def keep_layer(connection: Connection, schema: str) -> None:
    """Replace the tables of the layer in a bridged database by those attached as ``schema``, in a transaction of the
    caller."""
    there = tables(connection, schema)
    for name in LAYER_TABLES:
        connection.rows(f"DELETE FROM main.{LAYER}{name}")
        if name in there:
            _copy(connection, (schema, name), ("main", f"{LAYER}{name}"))


def _copy(connection: Connection, source: tuple[str, str], target: tuple[str, str], insert: str = "INSERT") -> None:
    """All rows of a table, each table given by its schema and its name."""
    there = columns(connection, source[1], source[0])
    shared = ", ".join(name for name in columns(connection, target[1], target[0]) if name in there)
    connection.rows(f"{insert} INTO {'.'.join(target)} ({shared}) SELECT {shared} FROM {'.'.join(source)}")
