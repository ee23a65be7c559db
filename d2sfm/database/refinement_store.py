"""Refined keypoints in the database: the originals beside them, and what an unfinished run has done so far."""

from collections.abc import Mapping

import numpy as np

from d2sfm.database.continued import add_continued, remove_continued
from d2sfm.database.notes import Note
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.pair_rows import matches_row, read_refuted
from d2sfm.database.removal import remove_of_pairs
from d2sfm.database.store import Store
from d2sfm.database.tables import ORIGINALS, PARTS, REFUSED, REFUTED, SIGMAS, create_our_tables, tables
from d2sfm.text import counted

_OF_POSITIONS = {"two_view_geometries", REFUSED}  # tables of pairs


class RefinementStore(Store):
    """Positions of keypoints and their originals, opened as any ``Store``."""

    def refined(self) -> set[int]:
        """Ids of the images whose keypoints are refined."""
        if ORIGINALS not in tables(self._connection):
            return set()
        return {image_id for (image_id,) in self._connection.rows(f"SELECT image_id FROM {ORIGINALS}")}

    def keypoints(self, image_id: int) -> np.ndarray:
        """Keypoints as d2sfm stores them, [N, 4] float32: x, y and scale in pixels of the photograph, 0.

        Raises RuntimeError if the image has none, or others.
        """
        rows = self._connection.rows("SELECT cols, data FROM keypoints WHERE image_id = ?", (image_id,))
        if not rows or rows[0][0] != 4 or len(rows[0][1] or b"") % 16:
            raise RuntimeError(f"{self.path} has no d2sfm keypoints of image {image_id}")
        return np.frombuffer(rows[0][1] or b"", "<f4").reshape(-1, 4).copy()

    def at_rest(self, image_id: int) -> np.ndarray:
        """Which of an image's keypoints are where extraction found them, [N] bool: references of tracks, and keypoints
        that were not aligned; continued ones are not. Raises RuntimeError as ``keypoints``."""
        keypoints = self.keypoints(image_id)
        found, original = np.zeros(len(keypoints), bool), self.originals(image_id)
        found[: len(original)] = (original[:, :2] == keypoints[: len(original), :2]).all(axis=1)
        return found

    def originals(self, image_id: int) -> np.ndarray:
        """Keypoints as extraction found them, [M, 4] float32 like the first M of ``keypoints``: the others are
        continued tracks. M is 0 if they were not refined. Raises RuntimeError as ``keypoints``."""
        count = len(self.keypoints(image_id))
        rows = ORIGINALS in tables(self._connection) and self._connection.rows(
            f"SELECT data FROM {ORIGINALS} WHERE image_id = ? AND length(data) <= ?", (image_id, 16 * count)
        )
        return np.frombuffer(rows[0][0] if rows else b"", "<f4").reshape(-1, 4)

    def sigmas(self, image_id: int) -> np.ndarray:
        """How sure the positions of an image's keypoints are, [N] float32: predicted standard deviations of those that
        grey values made exact, in pixels of the photograph; NaN for all others.

        A reference has the smallest of its track, as the others are exact to it.
        Raises RuntimeError as ``keypoints``.
        """
        count = len(self.keypoints(image_id))
        rows = SIGMAS in tables(self._connection) and self._connection.rows(
            f"SELECT data FROM {SIGMAS} WHERE image_id = ? AND length(data) = ?", (image_id, 4 * count)
        )
        return np.frombuffer(rows[0][0], "<f4").copy() if rows else np.full(count, np.nan, np.float32)

    def replace(
        self,
        positions: Mapping[int, np.ndarray],
        note: Mapping,
        sigmas: Mapping[int, np.ndarray] | None = None,
        continued: tuple[Mapping[int, np.ndarray], Mapping[tuple[int, int], np.ndarray]] = ({}, {}),
        *,
        refuted: Mapping[tuple[int, int], np.ndarray] | None = None,
        others_stay: bool = False,
    ) -> None:
        """Replace keypoints by refined positions and keep the originals, in one transaction.

        positions: x, y in pixels of the photograph, [N, 2], by image_id; sigmas: as of ``sigmas``, by image_id.
        continued: keypoints and matches for ``add_continued``, which replace earlier ones. The two-view geometries of
        all pairs go, as they belong to the old positions; matches stay. Parts of unfinished runs go. note: for
        ``notes.refinement``. others_stay: sigmas, continued tracks and geometries go only for the images in positions,
        which have no continued tracks yet.
        refuted: matches of pairs of ids in ascending order, [K, 2] each, as of ``MatchStore.refuted``; those that were
        refuted before stay such.
        Raises RuntimeError if an image has another number of keypoints.
        """
        create_our_tables(self._connection)
        with self._connection.transaction():
            if others_stay:
                for image_id in positions:
                    remove_of_pairs(self._connection, image_id, _OF_POSITIONS)
            else:
                self._connection.rows(f"DELETE FROM {SIGMAS}")
                remove_continued(self._connection)
                self._forget_refuted_of_continued()
                self._remove_geometries()
            for image_id, xy in positions.items():
                keypoints = self.keypoints(image_id)
                if len(keypoints) != len(xy):
                    raise RuntimeError(
                        f"image {image_id} has {counted(len(keypoints), 'keypoint')}, found "
                        f"{counted(len(xy), 'position')}"
                    )
                self._connection.rows(
                    f"INSERT OR IGNORE INTO {ORIGINALS} (image_id, data) VALUES (?, ?)", (image_id, keypoints.tobytes())
                )
                keypoints[:, :2] = xy
                self._set_keypoints(image_id, keypoints)
            add_continued(self._connection, *continued)
            for image_id, sigma in (sigmas or {}).items():
                values = (image_id, sigma.astype("<f4").tobytes())
                self._connection.rows(f"INSERT OR REPLACE INTO {SIGMAS} (image_id, data) VALUES (?, ?)", values)
            for pair, matches in (refuted or {}).items():
                self._add_refuted(int(pair_ids(*pair)), matches)
            self._connection.rows(f"DELETE FROM {PARTS}")
            self.notes.note_refinement(note)

    def restore(self) -> int:
        """Restore the original keypoints without continued ones, and return the number of images. Their pairs lose
        their geometries."""
        if ORIGINALS not in tables(self._connection):
            return 0
        with self._connection.transaction():
            remove_continued(self._connection)
            rows = self._connection.rows(
                f"SELECT image_id, {ORIGINALS}.data FROM {ORIGINALS} JOIN keypoints USING (image_id) "
                f"WHERE length({ORIGINALS}.data) = length(keypoints.data)"
            )
            for image_id, data in rows:
                self._set_keypoints(image_id, np.frombuffer(data, "<f4"))
            if rows:
                self._remove_geometries()
            for table in {ORIGINALS, SIGMAS, REFUTED} & tables(self._connection):
                self._connection.rows(f"DELETE FROM {table}")
            self.notes.remove(Note.REFINEMENT)
        return len(rows)

    def verify_otherwise(self, note: Mapping) -> None:
        """Remove all two-view geometries of refined keypoints, and note how to verify them again."""
        with self._connection.transaction():
            self._remove_geometries()
            self.notes.note_refinement(note)

    def save_part(self, run: str, stage: str, nodes: np.ndarray, values: np.ndarray) -> None:
        """Keep a finished part of a stage beside the others of this run; parts of other runs go.

        run: its fingerprint; nodes: [M]; values: [M, C] float64, results of the stage for each node.
        """
        create_our_tables(self._connection)
        with self._connection.transaction():
            self._connection.rows(
                f"DELETE FROM {PARTS} WHERE substr(fingerprint, 1, ?) != ?", (len(run) + 1, f"{run} ")
            )
            data = nodes.astype("<i8").tobytes(), values.astype("<f8").tobytes()
            self._connection.rows(
                f"INSERT INTO {PARTS} (number, fingerprint, nodes, positions) "
                f"VALUES ((SELECT coalesce(max(number) + 1, 0) FROM {PARTS}), ?, ?, ?)",
                (f"{run} {stage}", *data),
            )

    def parts(self, run: str, stage: str, columns: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The finished parts (nodes [M], values [M, columns]) of a stage of a run, in order."""
        if PARTS not in tables(self._connection):
            return []
        sql = f"SELECT nodes, positions FROM {PARTS} WHERE fingerprint = ? ORDER BY number"
        return [  # others are computed again
            (np.frombuffer(nodes, "<i8"), np.frombuffer(values, "<f8").reshape(-1, columns))
            for nodes, values in self._connection.rows(sql, (f"{run} {stage}",))
            if len(nodes) % 8 == 0 and len(values) == columns * len(nodes)
        ]

    def _add_refuted(self, pair_id: int, matches: np.ndarray) -> None:
        before = read_refuted(self._connection, pair_id)
        self._set_refuted(pair_id, np.unique(np.concatenate([before, matches]), axis=0))

    def _forget_refuted_of_continued(self) -> None:
        """Their keypoints are gone, and others will come in their places."""
        counts = dict(self._connection.rows("SELECT image_id, rows FROM keypoints"))
        for (pair_id,) in self._connection.rows(f"SELECT pair_id FROM {REFUTED}"):
            matches = read_refuted(self._connection, pair_id)
            limits = [counts.get(image_id, 0) for image_id in image_pairs(np.array([pair_id]))[0].tolist()]
            stay = (matches < limits).all(axis=1)
            if not stay.all():
                self._set_refuted(pair_id, matches[stay])

    def _set_refuted(self, pair_id: int, matches: np.ndarray) -> None:
        if len(matches):
            row = (pair_id, matches_row(pair_id, matches, False)[-1])
            self._connection.rows(f"INSERT OR REPLACE INTO {REFUTED} (pair_id, data) VALUES (?, ?)", row)
        else:
            self._connection.rows(f"DELETE FROM {REFUTED} WHERE pair_id = ?", (pair_id,))

    def _remove_geometries(self) -> None:
        for table in _OF_POSITIONS & tables(self._connection):
            self._connection.rows(f"DELETE FROM {table}")

    def _set_keypoints(self, image_id: int, keypoints: np.ndarray) -> None:
        data = np.ascontiguousarray(keypoints, "<f4").tobytes()
        self._connection.rows("UPDATE keypoints SET data = ? WHERE image_id = ?", (data, image_id))
