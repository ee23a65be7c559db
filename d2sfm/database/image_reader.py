"""What matching reads of images."""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.camera_rows import read_camera, read_pose_priors
from d2sfm.database.descriptor_rows import DTYPE_OF_BYTES
from d2sfm.database.filler_rows import row_dtype
from d2sfm.database.migration import bring_up_to_date
from d2sfm.database.overwriting import outdated_images
from d2sfm.database.rows import UnusableRow, check_descriptors, check_keypoints, check_size, declared_bytes
from d2sfm.database.store import Store
from d2sfm.database.tables import ORIGINALS, tables
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.text import counted


class ImageReader(Store):
    """Images of a COLMAP database, opened as any ``Store``; an older one is brought to COLMAP's newest schema before.

    Images are named by their image_id.
    """

    def __init__(self, path: Path):
        self._outdated = set(outdated_images(path).values())
        bring_up_to_date(path)
        super().__init__(path)
        images = self._connection.rows("SELECT image_id, name, camera_id FROM images ORDER BY image_id")
        self._names = {image_id: name for image_id, name, _ in images}
        self._camera_ids = {image_id: camera_id for image_id, _, camera_id in images}

    def image_names(self) -> dict[int, str]:
        """Names by image_id, ids ascending."""
        return dict(self._names)

    def image_ids(self) -> dict[str, int]:
        """Ids of the images by name."""
        return {name: image_id for image_id, name in self._names.items()}

    def camera(self, image_id: int) -> pycolmap.Camera:
        """The camera of an image. Raises ValueError if the database has no such image, RuntimeError if it can't be."""
        self._require_images(image_id)
        camera_id = self._camera_ids[image_id]
        [row] = self._connection.rows(
            "SELECT model, width, height, params, prior_focal_length FROM cameras WHERE camera_id = ?", (camera_id,)
        )
        return read_camera(self.path, self._names[image_id], camera_id, row)

    def pose_priors(self) -> dict[int, pycolmap.PosePrior]:
        """Where images were taken as far as it is known beforehand: positions and their coordinate systems, and the
        direction of gravity in the camera, by image_id. Either may be lacking."""
        return read_pose_priors(self._connection)

    def has_keypoints(self, image_id: int) -> bool:
        """Whether an image has keypoints (of any extractor; there may be 0 of them)."""
        self._require_images(image_id)
        return self._has_row("keypoints", image_id)

    def has_features(self, image_id: int) -> bool:
        """Whether an image has keypoints and descriptors (of any extractor; there may be 0 of them).

        Not those that are to be written again, see ``overwriting``.
        """
        self._require_images(image_id)
        return image_id not in self._outdated and all(
            self._has_row(table, image_id) for table in ("keypoints", "descriptors")
        )

    def of_other_descriptors(self) -> dict[int, str]:
        """Names by image_id of the images with descriptors that are not D2-Net's, ids ascending."""
        lengths = ", ".join(map(str, DTYPE_OF_BYTES))
        rows = self._connection.rows(f"SELECT image_id FROM descriptors WHERE cols NOT IN ({lengths})")
        there = {image_id for (image_id,) in rows}
        return {image_id: name for image_id, name in self._names.items() if image_id in there}

    def keypoints(self, image_id: int) -> np.ndarray:
        """Positions x, y in pixels of the photograph, [N, 2] float32.

        Raises ValueError if the database has no such image, RuntimeError if it has no keypoints row, UnusableRow if
        that can't be used.
        """
        rows, columns, found = self._shape("keypoints", image_id)
        name = self._names[image_id]
        if columns not in (2, 4, 6):
            raise UnusableRow(
                self.path,
                name,
                f"has keypoints of {counted(columns, 'number')}, expected 2, 4 or 6: extract or import it again",
            )
        check_size(self.path, name, "keypoints", declared_bytes(rows, 4 * columns), found)
        keypoints = self._read("keypoints", image_id, np.empty((rows, columns), "<f4"))
        check_keypoints(self.path, name, keypoints)
        return np.ascontiguousarray(keypoints[:, :2])

    def original_keypoints(self, image_id: int) -> np.ndarray | None:
        """Positions as extraction found them, [M, 2] float32; None if they are not refined."""
        rows = ORIGINALS in tables(self._connection) and self._connection.rows(
            f"SELECT data FROM {ORIGINALS} WHERE image_id = ?", (image_id,)
        )
        return np.frombuffer(rows[0][0], "<f4").reshape(-1, 4)[:, :2] if rows else None

    def descriptors(self, image_id: int) -> np.ndarray:
        """Descriptors, [N, 512] float16 or float32: the length of their rows tells which.

        Raises ValueError if the database has no such image, RuntimeError if it has no descriptors or other ones,
        UnusableRow if they can't be used.
        """
        rows, row_bytes, found = self._shape("descriptors", image_id)
        if row_bytes not in DTYPE_OF_BYTES:
            raise RuntimeError(
                f"descriptors of {self._names[image_id]} in {self.path} have {counted(row_bytes, 'byte')} each, but "
                "those of D2-Net have 1024 (float16) or 2048 (float32): match them with the tool that made them, then "
                "run d2sfm match to verify and d2sfm reconstruct to map"
            )
        check_size(self.path, self._names[image_id], "descriptors", declared_bytes(rows, row_bytes), found)
        descriptors = self._read("descriptors", image_id, np.empty((rows, DESCRIPTOR_SIZE), DTYPE_OF_BYTES[row_bytes]))
        check_descriptors(self.path, self._names[image_id], descriptors)
        return descriptors

    def others_descriptors(self, image_id: int) -> np.ndarray | None:
        """Descriptors of another extractor, [N, D] uint8 or float32; None if there are none, or not of a size.

        Raises ValueError if the database has no such image.
        """
        self._require_images(image_id)
        if not self._has_row("descriptors", image_id):
            return None
        rows, row_bytes, found = self._shape("descriptors", image_id)
        [(type_id,)] = self._connection.rows("SELECT type FROM descriptors WHERE image_id = ?", (image_id,))
        if found != declared_bytes(rows, row_bytes) or not row_bytes:
            return None
        dtype = row_dtype(row_bytes, type_id)
        return self._read("descriptors", image_id, np.empty((rows, row_bytes // dtype.itemsize), dtype))

    def _require_images(self, *image_ids: int) -> None:
        for image_id in image_ids:
            if image_id not in self._names:
                raise ValueError(f"{self.path} has no image with id {image_id}")

    def _has_row(self, table: str, image_id: int) -> bool:
        return bool(self._connection.rows(f"SELECT NULL FROM {table} WHERE image_id = ?", (image_id,)))

    def _shape(self, table: str, image_id: int) -> tuple[int, int, int]:
        """Declared numbers of rows and columns of an image's keypoints or descriptors, and the bytes that are there."""
        self._require_images(image_id)
        sql = f"SELECT rows, cols, coalesce(length(CAST(data AS BLOB)), 0) FROM {table} WHERE image_id = ?"
        found = self._connection.rows(sql, (image_id,))
        if not found:
            raise RuntimeError(f"{self._names[image_id]} has no {table} in {self.path}")
        return found[0]

    def _read(self, table: str, image_id: int, out: np.ndarray) -> np.ndarray:
        """An image's keypoints or descriptors, read into an array of their size; COLMAP writes NULL for none."""
        if out.size:
            self._connection.read_blob(table, "data", image_id, out)
        return out
