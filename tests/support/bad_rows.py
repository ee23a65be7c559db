"""A small database with a row that no tool should have written, and what reads it."""

import json
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap
from support.feature_database import unit
from support.helpers import textured_picture

from d2sfm.database import FeatureStore, MatchStore, create_database, import_photographs
from d2sfm.database.connection import Connection
from d2sfm.features.record import Features
from d2sfm.options import CameraMode, CameraOptions, Convention

NAMES = ["a.png", "b.png", "c.png", "d.png"]
COUNT, SIZE = 24, (80, 64)
FINGERPRINT = json.dumps({"extractor": "d2sfm", "max_edge": 80})
ALL = ("match", "refine", "reconstruct", "export", "triangulate")


class BadRow(NamedTuple):
    """A statement that makes one bad row, or value; what a line of output has to name, and which commands name it."""

    sql: str
    value: object
    named: str
    told_by: tuple[str, ...]


def write_base(folder: Path) -> Path:
    """A database of four photographs. Pairs 1-2, 1-3 and 2-4 are verified, 2-3 is matched alone."""
    import cv2

    images, path = folder / "images", folder / "db.db"
    images.mkdir(parents=True)
    for index, name in enumerate(NAMES):
        cv2.imwrite(str(images / name), textured_picture(index, SIZE))
    create_database(path)
    import_photographs(path, images, NAMES, CameraOptions(camera_mode=CameraMode.PER_IMAGE))
    generator = np.random.default_rng(0)
    descriptors = unit(generator.normal(size=(COUNT, 512)))
    places = generator.uniform(10, 50, (COUNT, 2))
    with FeatureStore(path) as store:
        for index, name in enumerate(NAMES):
            xy = places + index * np.array([3, 1]) + generator.normal(scale=0.3, size=places.shape)
            keypoints = np.column_stack([xy, np.ones(COUNT), np.linspace(2, 1, COUNT)]).astype(np.float32)
            sizes = {"image_size": SIZE, "input_size": SIZE, "convention": Convention.COLMAP, "scales": (1.0,)}
            store.write(name, Features(keypoints=keypoints, descriptors=descriptors, **sizes), FINGERPRINT)
        store.notes.write("images", str(images))
        store.notes.note_match_settings({"max_error": 8.0, "seed": 0})
    matches = np.stack([np.arange(COUNT)] * 2, axis=1)
    calibrated = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
    with MatchStore(path) as store:
        for pair in ((1, 2), (1, 3), (2, 4)):
            geometry = pycolmap.TwoViewGeometry(config=calibrated, inlier_matches=matches.astype(np.uint32))
            store.write(*pair, matches, geometry)
        store.write(2, 3, matches)
    write_model(path, folder / "model")
    return path


def write_model(database: Path, folder: Path) -> None:
    """A model with a pose of each image, beside each other."""
    model = pycolmap.Reconstruction()
    with MatchStore(database) as store:
        for image_id, name in store.image_names().items():
            camera = store.camera(image_id)
            model.add_camera_with_trivial_rig(camera)
            image = pycolmap.Image(name=name, camera_id=camera.camera_id, image_id=image_id)
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.1 * image_id, 0, 0]))
            model.add_image_with_trivial_frame(image, pose)
    folder.mkdir()
    model.write_binary(folder)


def spoil(database: Path, row: BadRow) -> None:
    """Make the bad row, without any check of SQLite's."""
    with Connection(database) as connection:
        connection.rows("PRAGMA foreign_keys = OFF")
        connection.rows("PRAGMA ignore_check_constraints = ON")
        connection.rows(row.sql, () if row.value is None else (row.value,))


def floats(value: float, kind: str, size: int, at: int = 0) -> bytes:
    """Ones, one of which is another number."""
    numbers = np.ones(size, kind)
    numbers[at] = value
    return numbers.tobytes()


def pair_id(a: int, b: int) -> int:
    return 2147483647 * a + b


def indices(last: int, count: int = COUNT) -> bytes:
    return struct.pack(f"<{2 * count}I", *[0] * (2 * count - 1), last)


def keypoints(value: float, image_id: int = 1) -> tuple[str, bytes]:
    return f"UPDATE keypoints SET data = ? WHERE image_id = {image_id}", floats(value, "<f4", 4 * COUNT)


def of_image(table: str, what: str) -> str:
    return f"UPDATE {table} SET {what} WHERE image_id = 1"


def of_geometry(what: str) -> str:
    return f"UPDATE two_view_geometries SET {what} WHERE pair_id = {pair_id(1, 2)}"


def of_matches(what: str) -> str:
    return f"UPDATE matches SET {what} WHERE pair_id = {pair_id(2, 3)}"


def of_note(key: str, value: str) -> BadRow:
    sql = f"INSERT OR REPLACE INTO d2sfm_settings (key, value) VALUES ('{key}', ?)"
    return BadRow(sql, value, f"the note {key}", ("match", "reconstruct"))


_DESCRIPTORS = ("match", "export", "refine")
_CAMERA = ("match", "reconstruct", "triangulate")
BAD_ROWS = {
    "keypoint 1e30": BadRow(*keypoints(1e30), "a.png", ALL),
    "keypoint NaN": BadRow(*keypoints(np.nan), "a.png", ALL),
    "keypoint inf": BadRow(*keypoints(np.inf), "a.png", ALL),
    "keypoints all 1e30": BadRow(
        of_image("keypoints", "data = ?"), np.full(4 * COUNT, 1e30, "<f4").tobytes(), "a.png", ALL
    ),
    "keypoints cut": BadRow(of_image("keypoints", "data = substr(data, 1, 100)"), None, "a.png", ALL),
    "keypoints of an odd length": BadRow(of_image("keypoints", "data = substr(data, 1, 101)"), None, "a.png", ALL),
    "keypoints without data": BadRow(of_image("keypoints", "data = NULL"), None, "a.png", ALL),
    "keypoints that are a text": BadRow(of_image("keypoints", "data = 'text'"), None, "a.png", ALL),
    "keypoints of 3 columns": BadRow(of_image("keypoints", "cols = 3"), None, "a.png", ALL),
    "negative number of keypoints": BadRow(of_image("keypoints", "rows = -1"), None, "a.png", ALL),
    "a billion keypoints": BadRow(of_image("keypoints", "rows = 1000000000000"), None, "a.png", ALL),
    "number of keypoints is a text": BadRow(of_image("keypoints", "rows = 'many'"), None, "a.png", ALL),
    "descriptor NaN": BadRow(
        of_image("descriptors", "data = ?"), floats(np.nan, "<f4", 512 * COUNT), "a.png", _DESCRIPTORS
    ),
    "descriptor inf": BadRow(
        of_image("descriptors", "data = ?"), floats(np.inf, "<f4", 512 * COUNT), "a.png", _DESCRIPTORS
    ),
    "descriptors cut": BadRow(of_image("descriptors", "data = substr(data, 1, 100)"), None, "a.png", _DESCRIPTORS),
    "descriptors that are a text": BadRow(of_image("descriptors", "data = 'text'"), None, "a.png", _DESCRIPTORS),
    "negative number of descriptors": BadRow(of_image("descriptors", "rows = -1"), None, "a.png", _DESCRIPTORS),
    "a billion descriptors": BadRow(of_image("descriptors", "rows = 1000000000000"), None, "a.png", _DESCRIPTORS),
    "scales are a text": BadRow(of_image("d2sfm_features", "scales = 'x'"), None, "a.png", ("export",)),
    "scales are an object": BadRow(of_image("d2sfm_features", "scales = '{\"a\": 1}'"), None, "a.png", ("export",)),
    "input 0 x 0": BadRow(of_image("d2sfm_features", "input_width = 0, input_height = 0"), None, "a.png", ALL),
    "input width is a text": BadRow(of_image("d2sfm_features", "input_width = 'x'"), None, "a.png", ALL),
    "convention unknown": BadRow(of_image("d2sfm_features", "convention = 'x'"), None, "a.png", ALL),
    "orientation 9": BadRow(of_image("d2sfm_features", "orientation = 9"), None, "a.png", ALL),
    "fingerprint is a blob": BadRow(of_image("d2sfm_features", "fingerprint = x'00'"), None, "a.png", ALL),
    "camera 0 x 0": BadRow("UPDATE cameras SET width = 0, height = 0 WHERE camera_id = 1", None, "a.png", ALL),
    "camera width is a text": BadRow("UPDATE cameras SET width = 'x' WHERE camera_id = 1", None, "a.png", ALL),
    "camera model unknown": BadRow("UPDATE cameras SET model = 99 WHERE camera_id = 1", None, "a.png", _CAMERA),
    "camera parameters cut": BadRow(
        "UPDATE cameras SET params = substr(params, 1, 11) WHERE camera_id = 1", None, "a.png", _CAMERA
    ),
    "camera parameters NaN": BadRow(
        "UPDATE cameras SET params = ? WHERE camera_id = 1", floats(np.nan, "<f8", 4), "a.png", _CAMERA
    ),
    "no such camera": BadRow("UPDATE images SET camera_id = 77 WHERE image_id = 1", None, "a.png", ALL),
    "name is a blob": BadRow("UPDATE images SET name = x'612e' WHERE image_id = 4", None, "X'612E'", ALL),
    "name is a number": BadRow("UPDATE images SET name = '' WHERE image_id = 4", None, "name is not text", ALL),
    "negative image id": BadRow("UPDATE images SET image_id = -3 WHERE image_id = 4", None, "d.png", ALL),
    "position of 5 bytes": BadRow(
        "INSERT INTO pose_priors (corr_data_id, corr_sensor_id, corr_sensor_type, position, coordinate_system) "
        "VALUES (1, 1, 0, x'0001020304', 1)",
        None,
        "a.png",
        ALL,
    ),
    "matches past the keypoints": BadRow(of_matches("data = ?"), indices(COUNT), "b.png - c.png", ("match", "export")),
    "matches cut": BadRow(of_matches("data = substr(data, 1, 99)"), None, "b.png - c.png", ("match", "export")),
    "matches are a text": BadRow(of_matches("data = 'text'"), None, "b.png - c.png", ("match", "export")),
    "matches of 3 columns": BadRow(of_matches("cols = 3"), None, "b.png - c.png", ("match", "export")),
    "number of matches is a text": BadRow(of_matches("rows = 'x'"), None, "b.png - c.png", ("match", "export")),
    "inliers past the keypoints": BadRow(
        of_geometry("data = ?"), indices(2**32 - 1), "a.png - b.png", ("refine", "reconstruct", "triangulate")
    ),
    "inliers cut": BadRow(
        of_geometry("data = substr(data, 1, 99)"), None, "a.png - b.png", ("refine", "reconstruct", "triangulate")
    ),
    "a billion inliers": BadRow(
        of_geometry("rows = 1000000000"), None, "a.png - b.png", ("refine", "reconstruct", "triangulate")
    ),
    "matrix of 5 bytes": BadRow(of_geometry("F = x'0001020304'"), None, "a.png - b.png", ("reconstruct",)),
    "kind of geometry is a text": BadRow(of_geometry("config = 'x'"), None, "a.png - b.png", ("reconstruct",)),
    "pair 0": BadRow("INSERT INTO matches VALUES (0, 0, 2, NULL)", None, "pair_id 0", ("match", "export")),
    "negative pair": BadRow("INSERT INTO matches VALUES (-5, 0, 2, NULL)", None, "pair_id -5", ("match", "export")),
    "negative verified pair": BadRow(
        "INSERT INTO two_view_geometries (pair_id, rows, cols, config) VALUES (-5, 0, 2, 2)",
        None,
        "pair_id -5",
        ("reconstruct",),
    ),
    "pair of one image": BadRow(
        f"INSERT INTO matches VALUES ({pair_id(1, 1)}, 0, 2, NULL)", None, f"pair_id {pair_id(1, 1)}", ("match",)
    ),
    "pair of images that are not there": BadRow(
        f"INSERT INTO matches VALUES ({pair_id(7, 8)}, 0, 2, NULL)", None, f"pair_id {pair_id(7, 8)}", ("match",)
    ),
    "settings are a list": of_note("match", "[1, 2]"),
    "settings are a text": of_note("match", '"text"'),
    "settings are no JSON": of_note("match", "max_error"),
    "settings are deep": of_note("match", "[" * 100_000),
    "max_error is a text": of_note("match", '{"max_error": "x"}'),
    "max_error is NaN": of_note("match", '{"max_error": NaN}'),
    "settings are a blob": BadRow("UPDATE d2sfm_settings SET value = x'00' WHERE key = 'match'", None, "match", ALL),
    "range of greys without an end": BadRow(of_image("d2sfm_features", "grey_low = 5"), None, "a.png", ALL),
    "range of greys is a text": BadRow(
        of_image("d2sfm_features", "grey_low = 'x', grey_high = 'y'"), None, "a.png", ALL
    ),
}
