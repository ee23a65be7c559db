"""The pycolmap half of the database: what matching reads of images and writes of pairs."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database.connection import Closing, Connection, open_pycolmap
from d2sfm.database.file import require_database
from d2sfm.database.migration import carry_pose_priors
from d2sfm.database.overwriting import outdated_images
from d2sfm.database.patience import named_errors, patiently, require_room

_DESCRIPTOR_DTYPES = {1024: np.float16, 2048: np.float32}  # by bytes a row: 512 numbers


class MatchStore(Closing):
    """Matches and two-view geometries of the pairs of a COLMAP database. Nothing of sqlite3 may touch the file
    while this is open.

    Raises FileNotFoundError where there is no such file, RuntimeError where it is no COLMAP database or is held by
    another process. Images are named by their image_id.
    """

    def __init__(self, path: Path):
        require_database(path)
        self.path = Path(path)
        carry_pose_priors(self.path)
        self._matched, self._verified = _pairs_in(self.path)
        self._deletes = False
        self._outdated = set(outdated_images(self.path).values())
        with ExitStack() as stack:
            self._database = stack.enter_context(open_pycolmap(self.path))
            images = self._database.read_all_images()
            self._names = {image.image_id: image.name for image in sorted(images, key=lambda image: image.image_id)}
            self._camera_ids = {image.image_id: image.camera_id for image in images}
            self._stack = stack.pop_all()

    def image_names(self) -> dict[int, str]:
        """Names by image_id, ids ascending."""
        return dict(self._names)

    def image_ids(self) -> dict[str, int]:
        """Ids of the images by name."""
        return {name: image_id for image_id, name in self._names.items()}

    def camera(self, image_id: int) -> pycolmap.Camera:
        """The camera of an image. Raises ValueError where there is no such image."""
        self._require_images(image_id)
        return self._database.read_camera(self._camera_ids[image_id])

    def pose_priors(self) -> dict[int, pycolmap.PosePrior]:
        """What is known beforehand of where images were taken, by image_id. It may lack a position."""
        priors = self._database.read_all_pose_priors()
        of_images = [(prior.corr_data_id, prior) for prior in priors]
        camera = pycolmap.SensorType.CAMERA
        return {data.id: prior for data, prior in of_images if data.sensor_id.type == camera and data.id in self._names}

    def has_keypoints(self, image_id: int) -> bool:
        """Whether an image has keypoints (of any extractor; there may be 0 of them)."""
        self._require_images(image_id)
        return self._database.exists_keypoints(image_id)

    def has_features(self, image_id: int) -> bool:
        """Whether an image has keypoints and descriptors (of any extractor; there may be 0 of them).

        Not those that are to be written anew, see ``overwriting``.
        """
        self._require_images(image_id)
        if image_id in self._outdated:
            return False
        return self._database.exists_keypoints(image_id) and self._database.exists_descriptors(image_id)

    def keypoints(self, image_id: int) -> np.ndarray:
        """Positions x, y in pixels of the photograph, [N, 2] float32.

        Raises ValueError where there is no such image, RuntimeError where it has no keypoints row.
        """
        self._require_images(image_id)
        if not self._database.exists_keypoints(image_id):
            raise RuntimeError(f"{self._names[image_id]} has no keypoints in {self.path}")
        return np.ascontiguousarray(self._database.read_keypoints(image_id)[:, :2])

    def descriptors(self, image_id: int) -> np.ndarray:
        """Descriptors, [N, 512] float16 or float32: the length of their rows tells which.

        Raises ValueError where there is no such image, RuntimeError where it has no descriptors or other ones.
        """
        self._require_images(image_id)
        if not self._database.exists_descriptors(image_id):
            raise RuntimeError(f"{self._names[image_id]} has no descriptors in {self.path}")
        data = np.array(self._database.read_descriptors(image_id).data)  # a copy, which may be written to
        if data.shape[1] not in _DESCRIPTOR_DTYPES:
            raise RuntimeError(
                f"descriptors of {self._names[image_id]} in {self.path} have {data.shape[1]} bytes, "
                "those of D2-Net have 1024 (float16) or 2048 (float32)"
            )
        return data.view(_DESCRIPTOR_DTYPES[data.shape[1]])

    def done_pairs(self, verified: bool) -> set[tuple[int, int]]:
        """Pairs (i, j), i < j, that have matches (there may be 0 of them) and, with verified, a two-view geometry."""
        return self._matched & self._verified if verified else set(self._matched)

    def matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Matches of a pair, [M, 2] uint32, indices of keypoints of a and b; (0, 2) where the pair has none.

        Raises ValueError where there is no such image.
        """
        self._require_images(id_a, id_b)
        return self._database.read_matches(id_a, id_b).reshape(-1, 2)

    def inlier_matches(self, id_a: int, id_b: int) -> np.ndarray:
        """Those of the matches that fit the pair's two-view geometry, [M, 2] uint32; (0, 2) where there is none.

        Raises ValueError where there is no such image.
        """
        self._require_images(id_a, id_b)
        return self._database.read_two_view_geometry(id_a, id_b).inlier_matches.reshape(-1, 2)

    def write(
        self, id_a: int, id_b: int, matches: np.ndarray, geometry: pycolmap.TwoViewGeometry | None = None
    ) -> None:
        """Write a pair in place of what it had: matches [M, 2], indices of keypoints of a and b, and the geometry.

        The row of matches comes last and marks the pair as done: a pair of a killed run lacks it and is written
        again. Raises ValueError where an image is missing, the images are one, or matches have another shape;
        RuntimeError where the file can't be written.
        """
        self._require_images(id_a, id_b)
        if id_a == id_b:
            raise ValueError(f"a pair has two images, found {id_a} twice")
        matches = np.asarray(matches)
        if matches.ndim != 2 or matches.shape[1] != 2:
            raise ValueError(f"matches have shape {matches.shape}, expected (M, 2)")
        matches = matches.astype(np.uint32)
        with named_errors(self.path, RuntimeError):
            patiently(self.path, lambda: self._write(id_a, id_b, matches, geometry))

    def pairs_table(self) -> list[tuple[str, str, int, int]]:
        """Rows (name of a, name of b, matches, inliers of the two-view geometry) of all done pairs, in order of ids."""
        matches = _by_pair(self._database.read_num_matches())
        inliers = _by_pair(self._database.read_two_view_geometry_num_inliers())
        return [
            (self._names[i], self._names[j], matches.get((i, j), 0), inliers.get((i, j), 0))
            for i, j in sorted(self._matched)
            if i in self._names and j in self._names
        ]

    def _require_images(self, *image_ids: int) -> None:
        # pycolmap answers for a missing image with an empty record, and takes matches for one.
        for image_id in image_ids:
            if image_id not in self._names:
                raise ValueError(f"{self.path} has no image with id {image_id}")

    def _write(self, id_a: int, id_b: int, matches: np.ndarray, geometry: pycolmap.TwoViewGeometry | None) -> None:
        """The steps of ``write``. After one that failed they may be made again: each knows whether it is done."""
        self._remove_other_matches(id_a, id_b, matches)
        self._write_geometry(id_a, id_b, geometry)
        pair = (min(id_a, id_b), max(id_a, id_b))
        if pair not in self._matched:
            self._database.write_matches(id_a, id_b, matches)
            self._matched.add(pair)

    def _remove_other_matches(self, id_a: int, id_b: int, matches: np.ndarray) -> None:
        """Remove the row of matches unless it holds these already, which would be a delete for nothing."""
        pair = (min(id_a, id_b), max(id_a, id_b))
        if pair in self._matched and not np.array_equal(self._database.read_matches(id_a, id_b), matches):
            self._require_room_to_delete()
            self._database.delete_matches(id_a, id_b)
            self._matched.remove(pair)

    def _require_room_to_delete(self) -> None:
        """After any delete, pycolmap copies the whole file (VACUUM) when it closes it, and ends the process where the
        disk has no room for that."""
        if not self._deletes:
            require_room(self.path, self.path.stat().st_size)
            self._deletes = True

    def _write_geometry(self, id_a: int, id_b: int, geometry: pycolmap.TwoViewGeometry | None) -> None:
        pair = (min(id_a, id_b), max(id_a, id_b))
        if geometry is None:
            if pair in self._verified:
                self._require_room_to_delete()
                self._database.delete_two_view_geometry(id_a, id_b)
                self._verified.remove(pair)
        elif pair in self._verified:
            self._database.update_two_view_geometry(id_a, id_b, geometry)
        else:
            self._database.write_two_view_geometry(id_a, id_b, geometry)
            self._verified.add(pair)


def _pairs_in(path: Path) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs with a row of matches, and with one of two-view geometry. By sqlite3, before pycolmap opens the file:
    pycolmap's own lists leave out pairs without any match, and "done" means these too."""
    with Connection(path) as connection:
        return tuple(
            {pycolmap.pair_id_to_image_pair(pair_id) for (pair_id,) in connection.rows(f"SELECT pair_id FROM {table}")}
            for table in ("matches", "two_view_geometries")
        )


def _by_pair(listed: tuple[list[int], list[int]]) -> dict[tuple[int, int], int]:
    """Counts by pair, from a list of pair ids and a list of counts."""
    return {pycolmap.pair_id_to_image_pair(pair_id): count for pair_id, count in zip(*listed, strict=True)}
