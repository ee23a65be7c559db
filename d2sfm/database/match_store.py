"""Pairs of images: their matches, two-view geometries, and what d2sfm keeps with these."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.connection import sole_use
from d2sfm.database.continued import continued_counts
from d2sfm.database.notes import Note
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.pair_index import PairIndex
from d2sfm.database.pair_rows import (
    COLUMNS,
    are_among,
    geometry_row,
    matches_row,
    read_matches,
    read_refuted,
    read_similarities,
    similarities_row,
)
from d2sfm.database.rows import check_matches, check_size, declared_bytes
from d2sfm.database.tables import OUR_PAIR_TABLES, PAIRS_ANEW, REFUSED, REFUTED, SIMILARITIES, create_our_tables, tables


class MatchStore(PairIndex):
    """Matches and two-view geometries of the pairs of a database, opened as ``ImageReader``."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._tables = tables(self._connection)
        self._counts = dict(
            self._connection.rows("SELECT image_id, rows FROM keypoints WHERE typeof(rows) = 'integer' AND rows >= 0")
        )

    def keypoint_counts(self) -> dict[int, int]:
        """How many keypoints images have, by image_id, by what their rows say: also of those that can't be used."""
        return dict(self._counts)

    def continued(self) -> dict[int, int]:
        """How many keypoints at the end are continued tracks, by image_id, see ``continued_counts``."""
        return continued_counts(self._connection)

    def matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Matches of a pair, [M, 2] uint32, indices of keypoints of a and b; (0, 2) where the pair has none.

        Raises ValueError if the database has no such image, UnusableRow if the row can't be used.
        """
        return self._matches("matches", id_a, id_b)

    def inlier_matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Those of the matches that fit the pair's two-view geometry, [M, 2] uint32; (0, 2) if there is none.

        Raises ValueError if the database has no such image, UnusableRow if the row can't be used.
        """
        return self._matches("two_view_geometries", id_a, id_b)

    def told_matches(self, id_a: int, id_b: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``matches`` of a pair and which of them are ``inlier_matches``, [M, 2] uint32 and [M] bool.

        Inliers that are no matches, as COLMAP's guided matching finds some, are the last ones. Raises as these.
        """
        matches, inliers = self.matches(id_a, id_b), self.inlier_matches(id_a, id_b)
        matches = np.concatenate([matches, inliers[~are_among(inliers, matches)]])
        return matches, are_among(matches, inliers)

    def similarities(self, id_a: int, id_b: int) -> np.ndarray | None:
        """Of the descriptors of each of the ``matches`` of a pair, higher is better, [M] float16.

        None if they were not kept, or are of other matches than those that are there: another tool's, or of an older
        version. Raises ValueError if the database has no such image.
        """
        self._require_images(id_a, id_b)
        rows = SIMILARITIES in self._tables and self._connection.rows(
            f"SELECT CAST(data AS BLOB), digest, CAST(similarities AS BLOB) FROM {SIMILARITIES} "
            "JOIN matches USING (pair_id) WHERE pair_id = ?",
            (int(pair_ids(id_a, id_b)),),
        )
        return read_similarities(*rows[0]) if rows else None

    def refuted(self, id_a: int, id_b: int) -> np.ndarray:
        """Matches that refinement found to be of two points, which verification leaves out: [K, 2] uint32, indices of
        keypoints of a and b; also such that are no ``matches`` any more, as those may be found again. Raises ValueError
        if the database has no such image."""
        self._require_images(id_a, id_b)
        if REFUTED not in self._tables:
            return read_matches(None, False)
        return read_refuted(self._connection, int(pair_ids(id_a, id_b)), id_a > id_b)

    def open_matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Those of the ``matches`` that verification sees, as they are not ``refuted``, [M, 2] uint32. Raises as
        these."""
        matches = self.matches(id_a, id_b)
        return matches[~are_among(matches, self.refuted(id_a, id_b))]

    def refusals(self) -> dict[int, str]:
        """Why pairs have a two-view geometry without inliers, in words, by their numbers (see ``pair_ids``).

        Only pairs that verification refused in spite of their inliers.
        """
        if REFUSED not in self._tables:
            return {}
        sql = f"SELECT pair_id, CAST(reason AS TEXT) FROM {REFUSED} JOIN two_view_geometries USING (pair_id)"
        return dict(self._connection.rows(f"{sql} WHERE rows = 0 ORDER BY pair_id"))

    def write(
        self,
        id_a: int,
        id_b: int,
        matches: np.ndarray,
        geometry: pycolmap.TwoViewGeometry | None = None,
        *,
        similarities: np.ndarray | None = None,
        refused: str = "",
        is_matched: bool = True,
    ) -> None:
        """Write a pair in place of all that it had: matches [M, 2], indices of keypoints of a and b, and the geometry.

        All in one transaction. similarities: [M], see there; None if they are not known. refused: why the geometry has
        no inliers, see ``refusals``. is_matched: whether the matches are new, so that a pair that was to be matched
        again no longer is; otherwise it was only verified. Raises ValueError if an image is missing, the images are
        one, or arrays have another shape; RuntimeError if the file can't be written.
        """
        self._require_images(id_a, id_b)
        if id_a == id_b:
            raise ValueError(f"a pair has two images, found {id_a} twice")
        matches = np.asarray(matches)
        if matches.ndim != 2 or matches.shape[1] != 2:
            raise ValueError(f"matches have shape {matches.shape}, expected (M, 2)")
        if similarities is not None and np.shape(similarities) != (len(matches),):
            raise ValueError(f"similarities have shape {np.shape(similarities)}, expected ({len(matches)},)")
        pair_id, is_swapped = int(pair_ids(id_a, id_b)), id_a > id_b
        *_, data = of_matches = matches_row(pair_id, matches, is_swapped)
        if (similarities is not None or refused) and not self._tables.issuperset(OUR_PAIR_TABLES):
            create_our_tables(self._connection)
            self._tables = tables(self._connection)
        with self._connection.transaction():
            self._put("matches", pair_id, of_matches)
            of_geometry = None if geometry is None else geometry_row(pair_id, geometry, is_swapped)
            self._put("two_view_geometries", pair_id, of_geometry)
            of_both = None if similarities is None else similarities_row(pair_id, data, similarities)
            self._put(SIMILARITIES, pair_id, of_both)
            self._put(REFUSED, pair_id, (pair_id, refused) if refused else None)
            if is_matched and PAIRS_ANEW in self._tables:
                self._connection.rows(f"UPDATE {PAIRS_ANEW} SET is_written = TRUE WHERE pair_id = ?", (pair_id,))

    def note_and_unverify(self, note: Note, value: str | None, pairs: np.ndarray) -> None:
        """Write a note, or remove it for None, and remove the two-view geometries of pairs, which that makes outdated.

        pairs: their numbers (see ``pair_ids``), [P] int64."""
        create_our_tables(self._connection)
        with self._connection.transaction():
            if value is None:
                self.notes.remove(note)
            else:
                self.notes.write(note, value)
            for table in {"two_view_geometries", REFUSED} & tables(self._connection):
                numbers = ((number,) for number in pairs.tolist())
                self._connection.run_many(f"DELETE FROM {table} WHERE pair_id = ?", numbers)

    def states(self, image_ids: Iterable[int]) -> dict[int, bytes]:
        """By image_id, some bytes that change whenever the keypoints do."""
        found = {}
        for image_id in image_ids:
            rows = self._connection.rows("SELECT CAST(data AS BLOB) FROM keypoints WHERE image_id = ?", (image_id,))
            found[image_id] = hashlib.blake2b(b"".join(data or b"" for (data,) in rows), digest_size=8).digest()
        return found

    def take_in(self, file: Path) -> None:
        """Write the rows of pairs in a file of ``part_copy.write_pair_rows`` in place of all that these pairs have, in
        one transaction."""
        create_our_tables(self._connection)
        self._tables, of_file = tables(self._connection), "(SELECT pair_id FROM taken.matches)"
        with sole_use(file):
            self._connection.attach(file, "taken", is_constant=True)
            with self._connection.transaction():
                for table in COLUMNS.keys() & tables(self._connection, "taken"):  # earlier versions had fewer
                    listed = ", ".join(COLUMNS[table])
                    self._connection.rows(f"DELETE FROM main.{table} WHERE pair_id IN {of_file}")
                    self._connection.rows(
                        f"INSERT INTO main.{table} ({listed}) SELECT {listed} FROM taken.{table} "
                        f"WHERE pair_id IN {of_file}"
                    )
                if PAIRS_ANEW in self._tables:
                    self._connection.rows(f"UPDATE {PAIRS_ANEW} SET is_written = TRUE WHERE pair_id IN {of_file}")
            self._connection.rows("DETACH DATABASE taken")

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

    def _put(self, table: str, pair_id: int, row: tuple | None) -> None:
        """Write the row of a pair in place of the one that is there, or none."""
        if row is not None:
            columns, marks = COLUMNS[table], ", ".join("?" * len(row))
            self._connection.rows(f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)
        elif table in self._tables:
            self._connection.rows(f"DELETE FROM {table} WHERE pair_id = ?", (pair_id,))
