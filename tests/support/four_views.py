"""A database of four views of one scene, with features and without pairs."""

import sqlite3

import numpy as np
import pycolmap
from scipy.spatial.transform import Rotation

from d2sfm.database import FeatureStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.tables import OUR_PAIR_TABLES, PAIR_TABLES
from d2sfm.features.record import Features
from d2sfm.matching.match import match_database
from d2sfm.options import Convention, MatchingOptions, VerificationOptions

CPU = MatchingOptions(device="cpu")
VERIFICATION = VerificationOptions(max_num_trials=500)
WIDTH, HEIGHT = 800, 600
EMPTY = "empty.jpg"  # the photograph without any keypoint


def view_features(number, descriptors_of_points, count_outliers=40):
    """Features of a view of 80 points, the camera turned and moved with its number; input at half size for view 2."""
    generator = np.random.default_rng(number)
    points = np.random.default_rng(99).uniform([-2, -1.5, 6], [2, 1.5, 10], (80, 3))
    seen = points @ Rotation.from_euler("y", 4.0 * number, degrees=True).as_matrix().T - [0.6 * number, 0, 0]
    xy = seen[:, :2] / seen[:, 2:] * 900 + [WIDTH / 2, HEIGHT / 2] + generator.normal(0, 0.3, (80, 2))
    xy = np.concatenate([xy, generator.uniform(0, 600, (count_outliers, 2))])
    outliers = generator.normal(size=(count_outliers, 512))
    descriptors = np.concatenate([descriptors_of_points + 0.5 * generator.normal(size=(80, 512)), outliers])
    order = generator.permutation(len(xy))
    return features(xy[order], descriptors[order], input_size=(400, 300) if number == 2 else (WIDTH, HEIGHT))


def features(xy, descriptors, input_size=(WIDTH, HEIGHT)):
    return Features(
        keypoints=np.column_stack([xy, np.ones((len(xy), 2))]).astype(np.float32),
        descriptors=(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float16),
        image_size=(WIDTH, HEIGHT),
        input_size=input_size,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def write_four_views(path):
    """Write four views of one scene, and one photograph without keypoints; returns the path."""
    write_images(path, [f"view {number}.jpg" for number in range(4)] + [EMPTY])
    points = np.random.default_rng(7).normal(size=(80, 512))
    with FeatureStore(path) as store:
        for number in range(4):
            store.write(f"view {number}.jpg", view_features(number, points), "settings")
        store.write(EMPTY, features(np.zeros((0, 2)), np.zeros((0, 512))), "settings")
    return path


def write_images(path, names):
    with open_pycolmap(path) as colmap:
        for name in names:
            camera = pycolmap.Camera(model="PINHOLE", width=WIDTH, height=HEIGHT, params=[900, 900, 400, 300])
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))


def rows(path):
    """All rows of pairs, byte for byte."""
    with sqlite3.connect(path) as connection:
        found = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY pair_id").fetchall()
            for table in (*PAIR_TABLES, *OUR_PAIR_TABLES)
        }
    connection.close()
    return found


def run(path, **changes):
    return match_database(path, **{"options": CPU, "verification": VERIFICATION, **changes})
