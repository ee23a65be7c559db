"""A database of images with given descriptors, without photographs and without the network."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database import FeatureStore, MatchStore, create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.pair_ids import image_pairs
from d2sfm.features.record import Features
from d2sfm.options import Convention

SIZE = (80, 60)


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors, [..., D], with length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def write_feature_database(path: Path, descriptors: Mapping[str, np.ndarray]) -> Path:
    """Write a database whose images, with ids from 1 on, have these descriptors, [N, 512] each; returns the path."""
    create_database(path)
    with open_pycolmap(path) as colmap:
        for name in descriptors:
            camera = pycolmap.Camera(model="PINHOLE", width=SIZE[0], height=SIZE[1], params=[90, 90, 40, 30])
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))
    replace_descriptors(path, descriptors)
    return path


def replace_descriptors(path: Path, descriptors: Mapping[str, np.ndarray]) -> None:
    """Write these descriptors as the features of images that are there, at random places."""
    with FeatureStore(path) as store:
        for name, of_image in descriptors.items():
            keypoints = np.random.default_rng(len(of_image)).uniform(0, SIZE[1], (len(of_image), 4))
            record = Features(
                keypoints=keypoints.astype(np.float32),
                descriptors=of_image.astype(np.float16),
                image_size=SIZE,
                input_size=SIZE,
                convention=Convention.COLMAP,
                scales=(1.0,),
            )
            store.write(name, record, "settings")


def descriptors_of_place(place: int, seed: int) -> np.ndarray:
    """Descriptors of an image of a place, [60, 512]: 45 are all its images' but for noise, the others are its own."""
    generator = np.random.default_rng(seed)
    common = np.random.default_rng(1000 + place).normal(size=(45, 512))
    found = np.concatenate([common + 0.3 * generator.normal(size=common.shape), generator.normal(size=(15, 512))])
    return unit(generator.permutation(found))


def say_verified(path: Path, step: int = 2) -> None:
    """Give each matched pair a geometry that every ``step``-th match is said to agree with.

    Matches of random places, with which chance alone agrees, are refused by verification.
    """
    uncalibrated = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
    with MatchStore(path) as store:
        for a, b in image_pairs(store.done_pairs(verified=False)).tolist():
            matches = store.matches(a, b)
            geometry = pycolmap.TwoViewGeometry(config=uncalibrated, inlier_matches=matches[::step])
            store.write(a, b, matches, geometry, is_matched=False)
