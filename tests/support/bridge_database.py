"""Databases of other extractors, and D2 features to bridge them with, all of random numbers."""

import sqlite3
from contextlib import closing

import numpy as np
import pycolmap
from support.feature_database import SIZE, unit

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.bridge_store import BridgeStore, write_layer
from d2sfm.database.bridge_writer import remove_bridge, write_bridge
from d2sfm.database.connection import Connection, open_pycolmap, sole_use
from d2sfm.features.record import Features
from d2sfm.options import Convention

NAMES = ("0.png", "1.png", "2.png", "3.png")
OWN, ADDED = 12, 7  # keypoints of an image, of each kind
TYPES = {"uint8": pycolmap.FeatureExtractorType.SIFT, "float32": pycolmap.FeatureExtractorType.UNDEFINED}


def write_foreign(path, columns=6, dtype="uint8", names=NAMES):
    """Images with ids from 1 on and keypoints of so many columns; of the first two, a verified pair. Returns the path.

    The last image has no keypoints, the one before it none that were found.
    """
    generator = np.random.default_rng(columns)
    with open_pycolmap(path) as colmap:
        for number, name in enumerate(names):
            camera = pycolmap.Camera(model="PINHOLE", width=SIZE[0], height=SIZE[1], params=[90, 90, 40, 30])
            image_id = colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))
            if number == len(names) - 1:
                continue
            count = OWN if number < len(names) - 2 else 0
            colmap.write_keypoints(image_id, generator.uniform(5, 55, (count, columns)).astype(np.float32))
            rows = unit(generator.normal(size=(count, 128))).view(np.uint8)
            if dtype == "uint8":
                rows = generator.integers(0, 256, (count, 128), np.uint8)
            colmap.write_descriptors(image_id, pycolmap.FeatureDescriptors(TYPES[dtype], rows))
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = int(pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED)
        geometry.F = generator.normal(size=(3, 3))
        geometry.inlier_matches = np.array([[0, 1], [2, 3]], np.uint32)
        colmap.write_matches(1, 2, np.array([[0, 1], [2, 3], [4, 5]], np.uint32))
        colmap.write_two_view_geometry(1, 2, geometry)
    return path


def features(seed, count=ADDED):
    """D2 features of random numbers."""
    generator = np.random.default_rng(seed)
    return Features(
        keypoints=generator.uniform(5, 55, (count, 4)).astype(np.float32),
        descriptors=unit(generator.normal(size=(count, 512))).astype(np.float16),
        image_size=SIZE,
        input_size=SIZE,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def write_random_layer(database, layer, names=NAMES):
    """A layer with features of these images, whose settings are noted as {}. Returns its path."""
    write_layer(database, layer)
    with FeatureStore(layer) as store:
        for seed, name in enumerate(names):
            store.write(name, features(seed), "{}")
    with MatchStore(layer) as store:
        store.write(1, 2, np.array([[0, 1], [1, 0]]), similarities=np.ones(2))
    return layer


def bridge(database, layer, pairs=()):
    """Put the layer into the database, in place of one that is there."""
    with BridgeStore(database) as store:
        counts = store.own_counts()
    with sole_use(layer), Connection(database) as connection:
        connection.attach(layer, "layer")
        with connection.transaction():
            remove_bridge(connection)
            write_bridge(connection, "layer", counts, pairs)


def unbridge(database):
    """Take it out again; returns of how many images."""
    with Connection(database) as connection, connection.transaction():
        return remove_bridge(connection)


def dump(path):
    """All rows of all tables, with their definitions."""
    with closing(sqlite3.connect(path)) as connection:
        named = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        return {name: (sql, connection.execute(f"SELECT * FROM {name}").fetchall()) for name, sql in named.items()}
