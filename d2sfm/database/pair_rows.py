"""Rows of pairs as COLMAP writes them, byte for byte, and those that d2sfm adds."""

import copy
import hashlib
import struct
from collections.abc import Mapping

import numpy as np
import pycolmap

from d2sfm.database.connection import Connection
from d2sfm.database.tables import REFUSED, REFUTED, SIMILARITIES

_MATCHES = ("pair_id", "rows", "cols", "data")
COLUMNS = {  # by table
    "matches": _MATCHES,
    "two_view_geometries": (*_MATCHES, "config", "F", "E", "H", "qvec", "tvec", "camera1", "camera2"),
    SIMILARITIES: ("pair_id", "digest", "similarities"),
    REFUSED: ("pair_id", "reason"),
    REFUTED: ("pair_id", "data"),
}


def matches_row(pair_id: int, matches: np.ndarray, is_swapped: bool) -> tuple:
    """A row of ``matches``. is_swapped: whether the first of the two columns is of the larger image_id."""
    data = np.ascontiguousarray(matches[:, ::-1] if is_swapped else matches, "<u4").tobytes()
    return pair_id, len(matches), 2, data or None


def geometry_row(pair_id: int, geometry: pycolmap.TwoViewGeometry, is_swapped: bool) -> tuple:
    """A row of ``two_view_geometries``, from the image of the smaller image_id to the other. is_swapped: as above."""
    if is_swapped:
        geometry = copy.copy(geometry)
        geometry.invert()
    pose = geometry.cam2_from_cam1
    return (
        *matches_row(pair_id, geometry.inlier_matches.reshape(-1, 2), False),
        int(geometry.config),
        *(_doubles(matrix) for matrix in (geometry.F, geometry.E, geometry.H)),
        _doubles(pose and np.roll(pose.rotation.quat, 1)),  # COLMAP's tables have w first
        _doubles(pose and pose.translation),
        *(camera and _camera(camera) for camera in (geometry.camera1, geometry.camera2)),
    )


def similarities_row(pair_id: int, matches: bytes | None, similarities: np.ndarray) -> tuple:
    """A row of ``SIMILARITIES``. matches: the data of the pair's ``matches_row``."""
    data = np.ascontiguousarray(similarities, "<f2").tobytes()
    return pair_id, _digest(matches or b"", data), data


def read_similarities(matches: bytes | None, digest: bytes, data: bytes | None) -> np.ndarray | None:
    """The similarities of a row, [M] float16; None if the row is incomplete or of other matches."""
    matches, data = matches or b"", data or b""
    is_whole = len(matches) == 4 * len(data) and _digest(matches, data) == digest
    return np.frombuffer(data, "<f2") if is_whole else None


def read_refuted(connection: Connection, pair_id: int, is_swapped: bool = False) -> np.ndarray:
    """The refuted matches of a pair, [K, 2] uint32, of a database that has their table."""
    sql = f"SELECT CAST(data AS BLOB) FROM {REFUTED} WHERE pair_id = ? AND length(data) % 8 = 0"
    rows = connection.rows(sql, (pair_id,))
    return read_matches(rows[0][0] if rows else None, is_swapped)


def read_matches(data: bytes | None, is_swapped: bool) -> np.ndarray:
    """The matches of such a row, [M, 2] uint32."""
    matches = np.frombuffer(data or b"", "<u4").reshape(-1, 2)
    return np.array(matches[:, ::-1] if is_swapped else matches, order="C")


def are_among(matches: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the matches of a pair, [M, 2] uint32, are among others, [N, 2]: [M] bool."""
    numbers, of_others = (each.astype(np.int64) @ (1 << 32, 1) for each in (matches, others))
    return np.isin(numbers, of_others)


def turned_rows(rows: Mapping[str, tuple]) -> dict[str, tuple]:
    """The rows of a pair, by table, with its two images in each other's place. Without ``pair_id``, before and after.

    Similarities of other matches are left out. Raises ValueError where a row is not whole.
    """
    turned = dict(rows)
    matches = rows["matches"][-1] if "matches" in rows else None
    if "matches" in rows:
        turned["matches"] = (*rows["matches"][:2], _turned_data(matches))
    if SIMILARITIES in turned:
        similarities = read_similarities(matches, *turned.pop(SIMILARITIES))
        if similarities is not None:
            turned[SIMILARITIES] = similarities_row(0, turned["matches"][-1], similarities)[1:]
    if REFUTED in rows:
        turned[REFUTED] = (_turned_data(rows[REFUTED][0]),)
    if "two_view_geometries" in rows:
        turned["two_view_geometries"] = _turned_geometry(*rows["two_view_geometries"])
    return turned


def _turned_data(matches: bytes | None) -> bytes | None:
    return matches_row(0, read_matches(matches, False), True)[-1]


def _turned_geometry(
    rows: int, cols: int, data: bytes | None, config: int, *model: bytes | None
) -> tuple[int | bytes | None, ...]:
    *matrices, quaternion, translation, camera1, camera2 = model
    geometry = pycolmap.TwoViewGeometry(inlier_matches=read_matches(data, False))
    for name, matrix in zip("FEH", matrices, strict=True):
        setattr(geometry, name, None if matrix is None else np.frombuffer(matrix, "<f8").reshape(3, 3))
    if quaternion is not None and translation is not None:
        rotation = pycolmap.Rotation3d(np.roll(np.frombuffer(quaternion, "<f8"), -1))  # COLMAP's tables have w first
        geometry.cam2_from_cam1 = pycolmap.Rigid3d(rotation, np.frombuffer(translation, "<f8"))
    # The kind may be one of another version of COLMAP, and the cameras are taken as they are.
    _, _, _, data, _, *turned = geometry_row(0, geometry, True)[:-2]
    return rows, cols, data, config, *turned, camera2, camera1


def _digest(matches: bytes, similarities: bytes) -> bytes:
    """Eight bytes that show whether both were written together."""
    return hashlib.blake2b(matches + similarities, digest_size=8).digest()


def _doubles(array: np.ndarray | None) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array, "<f8").tobytes()


def _camera(camera: pycolmap.Camera) -> bytes:
    head = (camera.camera_id, int(camera.model), camera.width, camera.height, camera.has_prior_focal_length)
    return struct.pack("<IiQQ?Q", *head, len(camera.params)) + _doubles(camera.params)
