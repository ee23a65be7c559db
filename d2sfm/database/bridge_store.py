"""What a bridged database holds of each image, and its D2 features as a database of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from d2sfm.database.bridge_tables import BRIDGED_IMAGES, LAYER, LAYER_TABLES, is_bridged
from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.mapping_copy import copy_tables
from d2sfm.database.store import Store
from d2sfm.database.tables import columns, create_our_tables, tables
from d2sfm.parts import scratch_folder


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
    """D2 keypoints in a database of another extractor, opened as every ``Store``."""

    def is_bridged(self) -> bool:
        """Whether ``d2sfm bridge`` has added any."""
        return is_bridged(self._connection)

    def images(self) -> dict[str, BridgedImage]:
        """The images that it has added keypoints to, by name, sorted. Not those that were extracted again since."""
        return {image.name: image for image in self._images() if image.count >= 0}

    def torn(self) -> list[str]:
        """Sorted names of the images whose keypoints another tool has replaced since."""
        return [image.name for image in self._images() if image.count < 0]

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


@contextmanager
def layer_of(database: Path) -> Iterator[Path]:
    """The D2 features, matches, geometries, refinement and notes of a bridged database as one of d2sfm's own, in a
    scratch folder, for the block: ``FeatureStore`` and all others read it.

    Ids of images and cameras are those of the bridged one; keypoint k there is ``BridgedImage.first + k`` here.
    """
    with scratch_folder() as folder:
        write_layer(database, layer := folder / "layer.db")
        yield layer


def write_layer(database: Path, layer: Path) -> None:
    """The same as a new file; without features where the database is not bridged yet."""
    copy_tables(database, layer, {"keypoints", "descriptors", "matches", "two_view_geometries"})
    with sole_use(database), Connection(layer) as connection:
        create_our_tables(connection)
        connection.attach(database, "source")
        with connection.transaction():
            there = tables(connection, "source")
            for name in LAYER_TABLES:
                if f"{LAYER}{name}" in there:
                    _copy(connection, ("source", f"{LAYER}{name}"), ("main", name))


def keep_layer(connection: Connection, schema: str) -> None:
    """Put the tables of a layer, attached to the bridged database as ``schema``, in place of those that this has, in a
    transaction of the caller."""
    there = tables(connection, schema)
    for name in LAYER_TABLES:
        connection.rows(f"DELETE FROM main.{LAYER}{name}")
        if name in there:
            _copy(connection, (schema, name), ("main", f"{LAYER}{name}"))


def _copy(connection: Connection, source: tuple[str, str], target: tuple[str, str]) -> None:
    """All rows of a table, each table given by its schema and its name."""
    there = columns(connection, source[1], source[0])
    shared = ", ".join(name for name in columns(connection, target[1], target[0]) if name in there)
    connection.rows(f"INSERT INTO {'.'.join(target)} ({shared}) SELECT {shared} FROM {'.'.join(source)}")
