"""Keypoints that are not d2sfm's own: of COLMAP's extractors, of other tools, or imported without their descriptors."""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.descriptor_rows import SIFT, UNDEFINED
from d2sfm.database.feature_store import FeatureStore
from d2sfm.database.notes import Note
from d2sfm.database.removal import remove_features
from d2sfm.database.store import Store
from d2sfm.database.tables import FEATURES, columns, continued_or_0, create_our_tables, tables
from d2sfm.text import first_of

TO_MAP_OTHERS = (
    "to map features of others, import their matches with d2sfm import --matches, then run d2sfm reconstruct"
)
_TYPES = {int(member): name for name, member in pycolmap.FeatureExtractorType.__members__.items()}


class ForeignStore(Store):
    """Keypoints of others in a COLMAP database, opened as any ``Store``."""

    def images(self) -> list[str]:
        """Sorted names of the images with keypoints that another extractor wrote."""
        return sorted(name for name, _ in self._rows())

    def extractor(self) -> str | None:
        """The origin of the keypoints in words: extractors, or the file they were imported from; None without such
        keypoints."""
        types = {type_id for _, type_id in self._rows()}
        known = [_TYPES.get(type_id, f"type {type_id}") for type_id in sorted(types - {None, UNDEFINED})]
        imported = self.notes.read(Note.FOREIGN) or "an extractor unknown to COLMAP"
        unknown = [imported] if types & {None, UNDEFINED} else []
        return " and ".join(known + unknown) or None

    def described(self) -> str | None:
        """The keypoints in words, for messages: their extractor and number of images; None if there are none."""
        images = self.images()
        return f"keypoints of {self.extractor()} for {first_of(images, 'image')}" if images else None

    def have_descriptors(self) -> bool:
        """Whether some of the images with such keypoints have descriptors, too."""
        return any(type_id is not None for _, type_id in self._rows())

    def write(self, name: str, xy: np.ndarray, source: str) -> None:
        """Write keypoints of an image without descriptors, in one transaction, in place of all that hung on others.

        xy: [N, 2] in pixels of the photograph (COLMAP's frame), stored as N x 2 float32; source: what they are, in
        words, noted for all of the database. Raises ValueError if the database has no image of that name.
        """
        rows = self._connection.rows("SELECT image_id FROM images WHERE name = ?", (name,))
        if not rows:
            raise ValueError(f"{self.path} has no image {name}")
        [(image_id,)] = rows
        create_our_tables(self._connection)
        with self._connection.transaction():
            remove_features(self._connection, image_id)
            self._connection.rows(
                "INSERT INTO keypoints (image_id, rows, cols, data) VALUES (?, ?, 2, ?)",
                (image_id, len(xy), np.ascontiguousarray(xy, "<f4").tobytes()),
            )
            self.notes.write(Note.FOREIGN, source)

    def _rows(self) -> list[tuple[str, int | None]]:
        """Names of the images with keypoints that are not ours, and the type of their descriptors if they have any."""
        ours = "SELECT NULL WHERE FALSE"
        if FEATURES in tables(self._connection):
            ours = f"SELECT image_id FROM {FEATURES} JOIN keypoints USING (image_id) "
            ours += f"WHERE 4 * (rows - {continued_or_0(self._connection)}) = length(scores)"
        # COLMAP's older versions know one type only, and have no column for it.
        type_id = "type" if "type" in columns(self._connection, "descriptors") else SIFT
        type_id = f"iif(descriptors.image_id IS NULL, NULL, {type_id})"
        return self._connection.rows(
            f"SELECT name, {type_id} FROM images JOIN keypoints USING (image_id) LEFT JOIN descriptors "
            f"USING (image_id) WHERE image_id NOT IN ({ours})"
        )


def require_own_features(
    path: Path, command: str, *, way_out: str = TO_MAP_OTHERS, or_descriptors: bool = False
) -> None:
    """RuntimeError if a database holds keypoints of others only, or lacks the descriptors of its own. command: the
    d2sfm command that needs D2-Net's.

    way_out: what the user can do, in words. or_descriptors: whether others will do that have descriptors.
    """
    with ForeignStore(path) as store:
        foreign, will_do = store.described(), or_descriptors and store.have_descriptors()
    with FeatureStore(path) as store:
        store.require_descriptors()
        if foreign is not None and not will_do and not store.extracted():
            raise RuntimeError(f"{path} holds {foreign}, but d2sfm {command} needs D2-Net features: {way_out}")
