"""A small database of d2sfm with a verified pair, whose keypoints are refined and continued by tests."""

import sqlite3

import numpy as np
import pycolmap

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.features.record import Features
from d2sfm.options import Convention

COUNTS = {1: 6, 2: 4, 3: 0}  # keypoints by image_id
MATCHES = np.array([[0, 1], [2, 3], [4, 0]], np.uint32)
NOTE = {"max_error": 2.0, "weights": "d2_ots"}


def make_features(count, seed=0):
    random = np.random.default_rng(seed)
    return Features(
        keypoints=random.uniform(1, 60, (count, 4)).astype(np.float32),
        descriptors=np.full((count, 512), 512**-0.5, np.float16),
        image_size=(64, 48),
        input_size=(64, 48),
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def write_verified_pair(path):
    """Write a database of three images, the last one without keypoints, and a verified pair; returns its path."""
    with open_pycolmap(path) as colmap:
        for image_id in COUNTS:
            camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=64, height=48, params=[70, 32, 24, 0])
            colmap.write_image(pycolmap.Image(name=f"{image_id}.jpg", camera_id=colmap.write_camera(camera)))
    with FeatureStore(path) as store:
        for image_id, count in COUNTS.items():
            store.write(f"{image_id}.jpg", make_features(count, image_id), "settings")
    verify_pairs(path)
    return path


def verify_pairs(path):
    with MatchStore(path) as store:
        store.write(1, 2, MATCHES, pycolmap.TwoViewGeometry(inlier_matches=MATCHES[:2]))
        store.write(1, 3, np.zeros((0, 2)), pycolmap.TwoViewGeometry())


def rows(path, table):
    connection = sqlite3.connect(path)
    found = connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
    connection.close()
    return found


def new_positions(seed=0):
    random = np.random.default_rng(seed)
    return {image_id: random.uniform(0, 64, (count, 2)) for image_id, count in COUNTS.items()}
