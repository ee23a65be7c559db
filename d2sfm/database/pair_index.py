"""Which pairs of images a database has, and how many matches."""

import numpy as np

from d2sfm.database.image_reader import ImageReader
from d2sfm.database.migration import CAMERA_SENSOR
from d2sfm.database.pair_ids import NO_PAIRS, image_pairs, pair_ids
from d2sfm.database.rows import of_images, warn_once


class PairIndex(ImageReader):
    """The pairs of the images of a database, opened as ``ImageReader``."""

    def done_pairs(self, verified: bool) -> np.ndarray:
        """Numbers (see ``pair_ids``) of the pairs that were matched, also those with 0 matches, [P] int64, ascending.

        verified: only those that have a two-view geometry, too. Pairs whose images are gone are left out."""
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
        """Of the done pairs of images that are there, in order of ids: ``pair_id`` (see ``pair_ids``), the numbers of
        ``matches``, and of ``inliers`` of the two-view geometry, [P] of a structured dtype of int64."""
        counts = self._connection.table(
            "SELECT pair_id, max(CAST(matches.rows AS INTEGER), 0), "
            "max(coalesce(CAST(two_view_geometries.rows AS INTEGER), 0), 0) "
            "FROM matches LEFT JOIN two_view_geometries USING (pair_id) ORDER BY pair_id",
            [("pair_id", np.int64), ("matches", np.int64), ("inliers", np.int64)],
        )
        return counts[self._are_pairs(counts["pair_id"])]

    def verified_counts(self, without: np.ndarray = NO_PAIRS) -> np.ndarray:
        """Those of ``pair_counts`` with inliers, less the pairs of these numbers."""
        counts = self.pair_counts()
        return counts[(counts["inliers"] > 0) & ~np.isin(counts["pair_id"], without)]

    def pairs_table(self) -> list[tuple[str, str, int, int]]:
        """Rows (name of a, name of b, matches, inliers of the two-view geometry) of these pairs, in order of ids."""
        counts = self.pair_counts()
        pairs = zip(image_pairs(counts["pair_id"]).tolist(), counts.tolist(), strict=True)
        return [(self._names[a], self._names[b], matches, inliers) for (a, b), (_, matches, inliers) in pairs]

    def _are_pairs(self, pairs: np.ndarray) -> np.ndarray:
        are_pairs = of_images(pairs, list(self._names))
        if not are_pairs.all():
            others = pairs[~are_pairs]
            warn_once(
                f"{self.path}: ignored, as they are not pairs of its images: {len(others)} (pair_id {others[0]} the "
                "first)"
            )
        return are_pairs
