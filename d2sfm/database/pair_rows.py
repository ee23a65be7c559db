"""Rows of pairs as COLMAP writes them, byte for byte, and those that d2sfm adds."""

import copy
import hashlib
import struct

import numpy as np
import pycolmap

from d2sfm.database.tables import REFUSED, SIMILARITIES

_MATCHES = ("pair_id", "rows", "cols", "data")
COLUMNS = {  # by table
    "matches": _MATCHES,
    "two_view_geometries": (*_MATCHES, "config", "F", "E", "H", "qvec", "tvec", "camera1", "camera2"),
    SIMILARITIES: ("pair_id", "digest", "similarities"),
    REFUSED: ("pair_id", "reason"),
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


def read_matches(data: bytes | None, is_swapped: bool) -> np.ndarray:
    """The matches of such a row, [M, 2] uint32."""
    matches = np.frombuffer(data or b"", "<u4").reshape(-1, 2)
    return np.array(matches[:, ::-1] if is_swapped else matches, order="C")


def _digest(matches: bytes, similarities: bytes) -> bytes:
    """Eight bytes that show whether both were written together."""
    return hashlib.blake2b(matches + similarities, digest_size=8).digest()


def _doubles(array: np.ndarray | None) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array, "<f8").tobytes()


def _camera(camera: pycolmap.Camera) -> bytes:
    head = (camera.camera_id, int(camera.model), camera.width, camera.height, camera.has_prior_focal_length)
    return struct.pack("<IiQQ?Q", *head, len(camera.params)) + _doubles(camera.params)
