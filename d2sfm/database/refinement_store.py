"""Refined keypoints in the database: the originals beside them, and what an unfinished run has done so far."""

import json
from collections.abc import Mapping

import numpy as np

from d2sfm.database.notes import Note
from d2sfm.database.store import Store
from d2sfm.database.tables import ORIGINALS, PARTS, REFUSED, create_our_tables, tables


class RefinementStore(Store):
    """Positions of keypoints and their originals, opened as every ``Store``."""

    def refined(self) -> set[int]:
        """Ids of the images whose keypoints were refined, and not restored since."""
        if ORIGINALS not in tables(self._connection):
            return set()
        return {image_id for (image_id,) in self._connection.rows(f"SELECT image_id FROM {ORIGINALS}")}

    def keypoints(self, image_id: int) -> np.ndarray:
        """Keypoints as d2sfm stores them, [N, 4] float32: x, y and scale in pixels of the photograph, 0.

        Raises RuntimeError where the image has none, or others.
        """
        rows = self._connection.rows("SELECT cols, data FROM keypoints WHERE image_id = ?", (image_id,))
        if not rows or rows[0][0] != 4 or len(rows[0][1] or b"") % 16:
            raise RuntimeError(f"{self.path} has no keypoints of d2sfm for image {image_id}")
        return np.frombuffer(rows[0][1] or b"", "<f4").reshape(-1, 4).copy()

    def replace(self, positions: Mapping[int, np.ndarray], note: Mapping) -> None:
        """Put refined positions in place of the keypoints' and keep the originals, all in one transaction.

        positions: x, y in pixels of the photograph, [N, 2], by image_id. The two-view geometries of all pairs go, as
        they are of the old positions; matches stay. Parts of unfinished runs go, too. note: for ``notes.refinement``.
        Raises RuntimeError where an image has another number of keypoints.
        """
        create_our_tables(self._connection)
        with self._connection.transaction():
            for image_id, xy in positions.items():
                keypoints = self.keypoints(image_id)
                if len(keypoints) != len(xy):
                    raise RuntimeError(f"image {image_id} has {len(keypoints)} keypoints, found {len(xy)} positions")
                self._connection.rows(
                    f"INSERT OR IGNORE INTO {ORIGINALS} (image_id, data) VALUES (?, ?)", (image_id, keypoints.tobytes())
                )
                keypoints[:, :2] = xy
                self._set_keypoints(image_id, keypoints)
            self._remove_geometries()
            self._connection.rows(f"DELETE FROM {PARTS}")
            self.notes.write(Note.REFINEMENT, json.dumps(note))

    def restore(self) -> int:
        """Put the original keypoints back and return of how many images. Their pairs lose their geometries again."""
        if ORIGINALS not in tables(self._connection):
            return 0
        with self._connection.transaction():
            rows = self._connection.rows(
                f"SELECT image_id, {ORIGINALS}.data FROM {ORIGINALS} JOIN keypoints USING (image_id) "
                f"WHERE length({ORIGINALS}.data) = length(keypoints.data)"
            )
            for image_id, data in rows:
                self._set_keypoints(image_id, np.frombuffer(data, "<f4"))
            if rows:
                self._remove_geometries()
            self._connection.rows(f"DELETE FROM {ORIGINALS}")
            self.notes.remove(Note.REFINEMENT)
        return len(rows)

    def verify_otherwise(self, note: Mapping) -> None:
        """Remove all two-view geometries of refined keypoints, and note how they are to be verified instead."""
        with self._connection.transaction():
            self._remove_geometries()
            self.notes.write(Note.REFINEMENT, json.dumps(note))

    def save_part(self, fingerprint: str, number: int, nodes: np.ndarray, positions: np.ndarray) -> None:
        """Keep a finished part of a run, in place of the parts of other runs."""
        create_our_tables(self._connection)
        with self._connection.transaction():
            self._connection.rows(f"DELETE FROM {PARTS} WHERE fingerprint != ?", (fingerprint,))
            data = nodes.astype("<i8").tobytes(), positions.astype("<f8").tobytes()
            self._connection.rows(
                f"INSERT OR REPLACE INTO {PARTS} (number, fingerprint, nodes, positions) VALUES (?, ?, ?, ?)",
                (number, fingerprint, *data),
            )

    def parts(self, fingerprint: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The finished parts (nodes, positions) of a run of that fingerprint, by number."""
        if PARTS not in tables(self._connection):
            return {}
        rows = self._connection.rows(
            f"SELECT number, nodes, positions FROM {PARTS} WHERE fingerprint = ?", (fingerprint,)
        )
        return {  # others are computed again
            number: (np.frombuffer(nodes, "<i8"), np.frombuffer(positions, "<f8").reshape(-1, 2))
            for number, nodes, positions in rows
            if len(nodes) % 8 == 0 and len(positions) == 2 * len(nodes)
        }

    def _remove_geometries(self) -> None:
        for table in {"two_view_geometries", REFUSED} & tables(self._connection):
            self._connection.rows(f"DELETE FROM {table}")

    def _set_keypoints(self, image_id: int, keypoints: np.ndarray) -> None:
        data = np.ascontiguousarray(keypoints, "<f4").tobytes()
        self._connection.rows("UPDATE keypoints SET data = ? WHERE image_id = ?", (data, image_id))
