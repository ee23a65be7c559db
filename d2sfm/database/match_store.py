"""What matching reads of images and writes of pairs."""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.camera_rows import read_camera, read_pose_priors
from d2sfm.database.continued import continued_counts
from d2sfm.database.migration import CAMERA_SENSOR, bring_up_to_date
from d2sfm.database.overwriting import outdated_images
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.pair_rows import GEOMETRY, MATCHES, geometry_row, matches_row, read_matches
from d2sfm.database.rows import (
    UnusableRow,
    check_descriptors,
    check_keypoints,
    check_matches,
    check_size,
    declared_bytes,
    of_images,
    warn_once,
)
from d2sfm.database.store import Store
from d2sfm.database.tables import PAIRS_ANEW, tables

_DESCRIPTOR_DTYPES = {1024: np.float16, 2048: np.float32}  # by bytes a row: 512 numbers


class MatchStore(Store):
    """Matches and two-view geometries of the pairs of a COLMAP database, opened as every ``Store``; an older one is
    brought to COLMAP's newest schema before. Images are named by their image_id.
    """

    def __init__(self, path: Path):
        self._outdated = set(outdated_images(path).values())
        bring_up_to_date(path)
        super().__init__(path)
        images = self._connection.rows("SELECT image_id, name, camera_id FROM images ORDER BY image_id")
        self._marks = PAIRS_ANEW in tables(self._connection)
        self._names = {image_id: name for image_id, name, _ in images}
        self._camera_ids = {image_id: camera_id for image_id, _, camera_id in images}
        self._counts = dict(
            self._connection.rows("SELECT image_id, rows FROM keypoints WHERE typeof(rows) = 'integer' AND rows >= 0")
        )

    def image_names(self) -> dict[int, str]:
        """Names by image_id, ids ascending."""
        return dict(self._names)

    def image_ids(self) -> dict[str, int]:
        """Ids of the images by name."""
        return {name: image_id for image_id, name in self._names.items()}

    def camera(self, image_id: int) -> pycolmap.Camera:
        """The camera of an image. Raises ValueError where there is no such image, RuntimeError where it can't be."""
        self._require_images(image_id)
        camera_id = self._camera_ids[image_id]
        [row] = self._connection.rows(
            "SELECT model, width, height, params, prior_focal_length FROM cameras WHERE camera_id = ?", (camera_id,)
        )
        return read_camera(self.path, self._names[image_id], camera_id, row)

    def pose_priors(self) -> dict[int, pycolmap.PosePrior]:
        """Where images were taken as far as it is known beforehand: positions and their coordinate systems, by
        image_id. A position may be lacking."""
        return read_pose_priors(self._connection)

    def has_keypoints(self, image_id: int) -> bool:
        """Whether an image has keypoints (of any extractor; there may be 0 of them)."""
        self._require_images(image_id)
        return self._has_row("keypoints", image_id)

    def has_features(self, image_id: int) -> bool:
        """Whether an image has keypoints and descriptors (of any extractor; there may be 0 of them).

        Not those that are to be written anew, see ``overwriting``.
        """
        self._require_images(image_id)
        return image_id not in self._outdated and all(
            self._has_row(table, image_id) for table in ("keypoints", "descriptors")
        )

    def keypoints(self, image_id: int) -> np.ndarray:
        """Positions x, y in pixels of the photograph, [N, 2] float32.

        Raises ValueError where there is no such image, RuntimeError where it has no keypoints row, UnusableRow where
        that can't be used.
        """
        rows, columns, found = self._shape("keypoints", image_id)
        name = self._names[image_id]
        if columns not in (2, 4, 6):
            raise UnusableRow(self.path, name, f"has keypoints of {columns} numbers, expected 2, 4 or 6: make it anew")
        check_size(self.path, name, "keypoints", declared_bytes(rows, 4 * columns), found)
        keypoints = self._read("keypoints", image_id, np.empty((rows, columns), "<f4"))
        check_keypoints(self.path, name, keypoints)
        return np.ascontiguousarray(keypoints[:, :2])

    def descriptors(self, image_id: int) -> np.ndarray:
        """Descriptors, [N, 512] float16 or float32: the length of their rows tells which.

        Raises ValueError where there is no such image, RuntimeError where it has no descriptors or other ones,
        UnusableRow where they can't be used.
        """
        rows, row_bytes, found = self._shape("descriptors", image_id)
        if row_bytes not in _DESCRIPTOR_DTYPES:
            raise RuntimeError(
                f"descriptors of {self._names[image_id]} in {self.path} have {row_bytes} bytes, "
                "those of D2-Net have 1024 (float16) or 2048 (float32)"
            )
        check_size(self.path, self._names[image_id], "descriptors", declared_bytes(rows, row_bytes), found)
        descriptors = self._read("descriptors", image_id, np.empty((rows, 512), _DESCRIPTOR_DTYPES[row_bytes]))
        check_descriptors(self.path, self._names[image_id], descriptors)
        return descriptors

    def continued(self) -> dict[int, int]:
        """How many keypoints at the end are continued tracks, by image_id, see ``continued_counts``."""
        return continued_counts(self._connection)

    def done_pairs(self, verified: bool) -> np.ndarray:
        """Numbers (see ``pair_ids``) of the pairs of images that are there that have matches (there may be 0 of them)
        and, with verified, a two-view geometry, [P] int64, ascending."""
        also = "JOIN two_view_geometries USING (pair_id) " if verified else ""
        sql = f"SELECT pair_id FROM matches {also}ORDER BY pair_id"
        pairs = self._connection.table(sql, [("pair_id", np.int64)])["pair_id"]
        return pairs[self._are_pairs(pairs)]

    def unverified_pairs(self) -> int:
        """How many pairs have matches, one or more, and no two-view geometry."""
        verified = "SELECT pair_id FROM two_view_geometries"
        sql = f"SELECT count(*) FROM matches WHERE rows > 0 AND pair_id NOT IN ({verified})"
        return self._connection.rows(sql)[0][0]

    def frame_pairs(self) -> np.ndarray:
        """Numbers (see ``pair_ids``) of the pairs of images that a rig took at one time, [P] int64."""
        rows = self._connection.rows(
            "SELECT a.data_id, b.data_id FROM frame_data AS a JOIN frame_data AS b USING (frame_id) "
            "WHERE a.data_id < b.data_id AND a.sensor_type = ? AND b.sensor_type = ?",
            (CAMERA_SENSOR,) * 2,
        )
        return pair_ids(*np.array(rows, np.int64).reshape(-1, 2).T)

    def pair_counts(self) -> np.ndarray:
        """Of the done pairs of images that are there, in order of ids: ``pair_id`` (see ``pair_ids``), and the numbers
        of ``matches`` and of ``inliers`` of the two-view geometry, [P] of a structured dtype of int64."""
        counts = self._connection.table(
            "SELECT pair_id, max(CAST(matches.rows AS INTEGER), 0), "
            "max(coalesce(CAST(two_view_geometries.rows AS INTEGER), 0), 0) FROM matches "
            "LEFT JOIN two_view_geometries USING (pair_id) ORDER BY pair_id",
            [("pair_id", np.int64), ("matches", np.int64), ("inliers", np.int64)],
        )
        return counts[self._are_pairs(counts["pair_id"])]

    def matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Matches of a pair, [M, 2] uint32, indices of keypoints of a and b; (0, 2) where the pair has none.

        Raises ValueError where there is no such image, UnusableRow where the row can't be used.
        """
        return self._matches("matches", id_a, id_b)

    def inlier_matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Those of the matches that fit the pair's two-view geometry, [M, 2] uint32; (0, 2) where there is none.

        Raises ValueError where there is no such image, UnusableRow where the row can't be used.
        """
        return self._matches("two_view_geometries", id_a, id_b)

    def write(
        self,
        id_a: int,
        id_b: int,
        matches: np.ndarray,
        geometry: pycolmap.TwoViewGeometry | None = None,
        is_matched: bool = True,
    ) -> None:
        """Write a pair in place of what it had: matches [M, 2], indices of keypoints of a and b, and the geometry.

        All in one transaction. is_matched: whether the matches are new, so that a pair that was to be matched anew no
        longer is; otherwise it was only verified. Raises ValueError where an image is missing, the images are one, or
        matches have another shape; RuntimeError where the file can't be written.
        """
        self._require_images(id_a, id_b)
        if id_a == id_b:
            raise ValueError(f"a pair has two images, found {id_a} twice")
        matches = np.asarray(matches)
        if matches.ndim != 2 or matches.shape[1] != 2:
            raise ValueError(f"matches have shape {matches.shape}, expected (M, 2)")
        pair_id, is_swapped = int(pair_ids(id_a, id_b)), id_a > id_b
        with self._connection.transaction():
            self._replace("matches", MATCHES, matches_row(pair_id, matches, is_swapped))
            if geometry is None:
                self._connection.rows("DELETE FROM two_view_geometries WHERE pair_id = ?", (pair_id,))
            else:
                self._replace("two_view_geometries", GEOMETRY, geometry_row(pair_id, geometry, is_swapped))
            if is_matched and self._marks:
                self._connection.rows(f"UPDATE {PAIRS_ANEW} SET is_written = TRUE WHERE pair_id = ?", (pair_id,))

    def pairs_table(self) -> list[tuple[str, str, int, int]]:
        """Rows (name of a, name of b, matches, inliers of the two-view geometry) of these pairs, in order of ids."""
        counts = self.pair_counts()
        pairs = zip(image_pairs(counts["pair_id"]).tolist(), counts.tolist(), strict=True)
        return [(self._names[a], self._names[b], matches, inliers) for (a, b), (_, matches, inliers) in pairs]

    def _require_images(self, *image_ids: int) -> None:
        for image_id in image_ids:
            if image_id not in self._names:
                raise ValueError(f"{self.path} has no image with id {image_id}")

    def _has_row(self, table: str, image_id: int) -> bool:
        return bool(self._connection.rows(f"SELECT NULL FROM {table} WHERE image_id = ?", (image_id,)))

    def _are_pairs(self, pairs: np.ndarray) -> np.ndarray:
        are_pairs = of_images(pairs, list(self._names))
        if not are_pairs.all():
            others = pairs[~are_pairs]
            warn_once(
                f"{self.path}: passed over, as no pairs of its images: {len(others)} (pair_id {others[0]} the first)"
            )
        return are_pairs

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

    def _matches(self, table: str, id_a: int, id_b: int) -> np.ndarray:
        self._require_images(id_a, id_b)
        sql = f"SELECT rows, cols, CAST(data AS BLOB) FROM {table} WHERE pair_id = ?"
        [(rows, columns, data)] = self._connection.rows(sql, (int(pair_ids(id_a, id_b)),)) or [(0, 2, None)]
        name = f"{self._names[id_a]} - {self._names[id_b]}"
        expected = declared_bytes(rows, 8) if columns == 2 or not rows else None
        check_size(self.path, name, "matches", expected, len(data or b""))
        matches = read_matches(data, id_a > id_b)
        check_matches(self.path, name, matches, [self._counts.get(id_, np.inf) for id_ in (id_a, id_b)])
        return matches

    def _replace(self, table: str, columns: tuple[str, ...], values: tuple) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.rows(f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)
