"""Features of the images of a database."""

import json
from collections.abc import Iterable, Iterator

import numpy as np

from d2sfm.coordinates import resize_factor
from d2sfm.database.descriptor_rows import DTYPE_OF_BYTES, DTYPES, UNDEFINED, check_count, pieces
from d2sfm.database.notes import Note
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.removal import remove_features
from d2sfm.database.rows import UnusableRow, check_descriptors, check_keypoints, read_scales, warn_once
from d2sfm.database.store import Store
from d2sfm.database.stored import ImageRow, StoredKeypoints, grey_range_of, image_row
from d2sfm.database.tables import (
    FEATURES,
    GREY_RANGE,
    ORIENTATION,
    ORIGINALS,
    OUTDATED,
    PAIR_TABLES,
    columns,
    continued_or_0,
    create_our_tables,
    has_rows,
    tables,
)
from d2sfm.features.record import DESCRIPTOR_SIZE, Features
from d2sfm.options import Convention, DescriptorDtype, GreyRange
from d2sfm.text import printable

_IMAGES = "SELECT image_id, name, camera_id, width, height FROM images JOIN cameras USING (camera_id)"


class FeatureStore(Store):
    """Features of the images of a COLMAP database, opened as any ``Store``."""

    def images(self) -> dict[str, ImageRow]:
        """The images by name, sorted by name."""
        images = (image_row(row) for row in self._connection.rows(_IMAGES))
        return {image.name: image for image in sorted(images, key=lambda image: image.name)}

    def extracted(self) -> dict[str, str]:
        """Fingerprints by image name, sorted, of the images whose features are whole: keypoints and descriptors.

        Without images that an overwriting run has still to write, see ``overwriting``.
        """
        if FEATURES not in tables(self._connection):
            return {}
        rows = self._connection.rows(f"SELECT name, fingerprint FROM {self._whole()}")
        return dict(sorted(rows))

    def written(self) -> dict[str, str]:
        """As ``extracted``, also of images that have a row of features but no descriptors (see ``write``)."""
        if FEATURES not in tables(self._connection):
            return {}
        sql = f"SELECT name, fingerprint FROM images JOIN {FEATURES} USING (image_id) WHERE fingerprint != '{OUTDATED}'"
        return dict(sorted(self._connection.rows(sql)))

    def require_descriptors(self) -> None:
        """RuntimeError if features were taken from a folder of shards without their descriptors.

        To what needs these it looks like a database without features. To extract them again takes the matches away.
        """
        shards = self.notes.read(Note.WITHOUT_DESCRIPTORS)
        if shards is not None and not has_rows(self._connection, "descriptors"):
            raise RuntimeError(
                f"{self.path} was assembled without descriptors, which this needs: run d2sfm assemble "
                f"{printable(shards)} --descriptors --database OTHER"
            )

    def torn(self) -> list[str]:
        """Sorted names of the images whose d2sfm features another tool has made incomplete."""
        if FEATURES not in tables(self._connection):
            return []
        whole = f"SELECT images.image_id FROM {self._whole()}"
        sql = f"SELECT name FROM images JOIN {FEATURES} USING (image_id) WHERE fingerprint != '{OUTDATED}'"
        return sorted(name for (name,) in self._connection.rows(f"{sql} AND image_id NOT IN ({whole})"))

    def write(self, name: str, features: Features, fingerprint: str, *, descriptors: bool = True) -> None:
        """Write the features of an image in one transaction; they replace earlier ones.

        All matches and two-view geometries of the image's pairs go with the old features: they are lists of keypoint
        indices. So do original keypoints and parts of an unfinished refinement, and notes about pairs and refinement
        with the last of these. Keypoints are stored as N x 4 (x, y, scale, orientation 0) float32, descriptors in their
        own dtype as rows of bytes (1024 a row of float16, 2048 of float32), scores in our table. Needs little room
        beside the features. descriptors: whether these are written; without them the image can be mapped, but neither
        matched nor refined.

        Raises ValueError if the database has no image of that name, or the descriptors have another dtype or exceed a
        row, RuntimeError if the size of its camera differs from that of the features' picture.
        """
        image = self._image(name)
        if (image.width, image.height) != tuple(features.image_size):
            raise RuntimeError(
                f"the features of {name} were extracted from a picture of {features.image_size[0]} x "
                f"{features.image_size[1]}, the camera in {self.path} has {image.width} x {image.height}"
            )
        if features.descriptors.dtype.name not in DTYPES:
            raise ValueError(f"has descriptors of {features.descriptors.dtype}, expected float16 or float32")
        descriptor_dtype = DescriptorDtype(features.descriptors.dtype.name)
        dtype = DTYPES[descriptor_dtype]
        row_bytes = DESCRIPTOR_SIZE * dtype.itemsize
        check_count(len(features), descriptor_dtype)
        create_our_tables(self._connection)
        keypoints = np.array(features.keypoints, "<f4")
        keypoints[:, 3] = 0
        ours = (*map(int, features.input_size), json.dumps([float(scale) for scale in features.scales]))
        scores = np.ascontiguousarray(features.scores, "<f4").tobytes()
        seen_as = (features.orientation, *(features.grey_range or (None, None)))
        with self._connection.transaction():
            remove_features(self._connection, image.image_id)
            self._connection.rows(
                "INSERT INTO keypoints (image_id, rows, cols, data) VALUES (?, ?, 4, ?)",
                (image.image_id, len(features), keypoints.tobytes()),
            )
            if descriptors:
                self._connection.rows(
                    "INSERT INTO descriptors (image_id, type, rows, cols, data) VALUES (?, ?, ?, ?, zeroblob(?))",
                    (image.image_id, UNDEFINED, len(features), row_bytes, len(features) * row_bytes),
                )
                self._connection.write_blob("descriptors", "data", image.image_id, pieces(features.descriptors, dtype))
            self._connection.rows(
                f"INSERT INTO {FEATURES} (image_id, input_width, input_height, scales, convention, fingerprint, "
                f"scores, {ORIENTATION}, {', '.join(GREY_RANGE)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (image.image_id, *ours, str(features.convention), fingerprint, scores, *seen_as),
            )

    def read(self, name: str) -> Features:
        """The features that ``write`` stored, without continued tracks; descriptors keep the stored dtype.

        Raises ValueError if the database has no image of that name, RuntimeError if it has no whole features,
        UnusableRow if they hold numbers that are not finite.
        """
        image = self._image(name)
        with self._connection.transaction("DEFERRED"):
            rows = FEATURES in tables(self._connection) and self._connection.rows(
                "SELECT input_width, input_height, scales, convention, scores, keypoints.data, descriptors.cols, "
                f"descriptors.rows, {self._seen_as()} FROM {self._whole()} WHERE images.image_id = ?",
                (image.image_id,),
            )
            if not rows:
                raise RuntimeError(f"{self.path} has no d2sfm features of {name}")
            [(width, height, scales, convention, scores, keypoints, row_bytes, count, orientation, *greys)] = rows
            descriptors = np.empty((count, DESCRIPTOR_SIZE), DTYPE_OF_BYTES[row_bytes])
            self._connection.read_blob("descriptors", "data", image.image_id, descriptors)
        keypoints = np.frombuffer(keypoints or b"", "<f4").reshape(-1, 4).copy()
        keypoints = keypoints[:count]
        check_keypoints(self.path, name, keypoints)
        check_descriptors(self.path, name, descriptors)
        keypoints[:, 3] = np.frombuffer(scores, "<f4")
        return Features(
            keypoints=keypoints,
            descriptors=descriptors,
            image_size=(image.width, image.height),
            input_size=(width, height),
            convention=Convention(convention),
            scales=read_scales(self.path, name, scales),
            orientation=orientation,
            grey_range=grey_range_of(greys),
        )

    def keypoints(self, continued: bool = False) -> Iterator[StoredKeypoints]:
        """Keypoints of the images whose features are complete, sorted by name, with or without continued tracks; warns
        of those that can't be used."""
        images = self.images()
        for name in self.extracted():
            [(width, height, convention, size, data, orientation, *greys)] = self._connection.rows(
                f"SELECT input_width, input_height, convention, 4 * length(scores), data, {self._seen_as()} "
                f"FROM {FEATURES} JOIN keypoints USING (image_id) WHERE image_id = ?",
                (images[name].image_id,),
            )
            keypoints = np.frombuffer((data or b"")[: None if continued else size], "<f4").reshape(-1, 4)
            try:
                check_keypoints(self.path, name, keypoints)
            except UnusableRow as error:
                warn_once(f"left out: {error}")
            else:
                seen_as = (width, height), Convention(convention), orientation, grey_range_of(greys)
                yield StoredKeypoints(images[name], keypoints, *seen_as)

    def orientations(self) -> dict[str, int]:
        """By name, the EXIF orientation by which each photograph was turned before the network; 1 for none."""
        return {name: orientation for name, orientation, *_ in self._all_seen_as()}

    def grey_ranges(self) -> dict[str, GreyRange]:
        """By name, the 16-bit values that became black and white for the network, of stretched photographs."""
        return {name: found for name, _, *greys in self._all_seen_as() if (found := grey_range_of(greys)) is not None}

    def resize_factors(self) -> dict[int, float]:
        """Pixels of the photograph for one pixel of the network input, by image_id. Only images extracted by d2sfm."""
        if FEATURES not in tables(self._connection):
            return {}
        rows = self._connection.rows(
            f"SELECT image_id, input_width, input_height, width, height FROM {FEATURES} "
            "JOIN images USING (image_id) JOIN cameras USING (camera_id) ORDER BY image_id"
        )
        return {image_id: resize_factor((w, h), (width, height)) for image_id, w, h, width, height in rows}

    def has_pairs(self) -> bool:
        """Whether there are matches or two-view geometries of any pair."""
        return any(has_rows(self._connection, table) for table in PAIR_TABLES)

    def unrefined(self) -> list[str]:
        """Sorted names of the images whose features are whole and whose keypoints are those of extraction."""
        if ORIGINALS not in tables(self._connection):
            return list(self.extracted())
        sql = f"SELECT name FROM {self._whole()} WHERE images.image_id NOT IN (SELECT image_id FROM {ORIGINALS})"
        return sorted(name for (name,) in self._connection.rows(sql))

    def later(self) -> dict[str, int]:
        """Ids by name, sorted, of the ``unrefined`` images if others of the database are refined; else none."""
        if not self.notes.refinement():
            return {}
        images = self.images()
        return {name: images[name].image_id for name in self.unrefined()}

    def later_in_pairs(self, without: Iterable[str] = ()) -> dict[str, int]:
        """Those of ``later`` that are in a verified pair, which shows where their keypoints belong.

        without: names of images whose pairs do not count."""
        later = self.later()
        if not later:
            return {}
        sql = "SELECT pair_id FROM two_view_geometries WHERE rows > 0"
        pairs, images = image_pairs(self._connection.table(sql, [("pair_id", np.int64)])["pair_id"]), self.images()
        pairs = pairs[~np.isin(pairs, [images[name].image_id for name in without]).any(axis=1)]
        return {name: image_id for name, image_id in later.items() if (pairs == image_id).any()}

    def _whole(self) -> str:
        """SQL of images whose rows belong together: another tool may have cleared or replaced some."""
        return (
            f"images JOIN {FEATURES} USING (image_id) JOIN keypoints USING (image_id) JOIN descriptors "
            "ON descriptors.image_id = images.image_id AND 4 * descriptors.rows = length(scores) "
            f"AND keypoints.rows = descriptors.rows + {continued_or_0(self._connection)} "
            f"AND keypoints.cols = 4 AND descriptors.cols IN {tuple(DTYPE_OF_BYTES)} "
            "AND coalesce(length(keypoints.data), 0) = 16 * keypoints.rows "
            "AND coalesce(length(descriptors.data), 0) = descriptors.cols * descriptors.rows "
            f"AND fingerprint != '{OUTDATED}'"
        )

    def _all_seen_as(self) -> list[tuple]:
        if FEATURES not in tables(self._connection):
            return []
        return self._connection.rows(f"SELECT name, {self._seen_as()} FROM {self._whole()} ORDER BY name")

    def _seen_as(self) -> str:
        """SQL of a photograph's orientation and its range of greys."""
        there = columns(self._connection, FEATURES)
        defaults = {ORIENTATION: "1"} | dict.fromkeys(GREY_RANGE, "NULL")
        return ", ".join(name if name in there else default for name, default in defaults.items())

    def _image(self, name: str) -> ImageRow:
        rows = self._connection.rows(f"{_IMAGES} WHERE name = ?", (name,))
        if not rows:
            raise ValueError(f"{self.path} has no image {name}")
        return image_row(rows[0])
