"""Photographs, a database of their features and the files that are exported from it, for the commands' tests."""

import json
from pathlib import Path

import cv2
import numpy as np
from support.feature_records import random_features
from support.helpers import textured_picture

from d2sfm.database import FeatureStore, MatchStore, create_database, import_photographs

NAMES = ["a.png", "b c.png", "sub/a.png"]
SIZE, INPUT = (160, 120), (80, 60)
FINGERPRINT = json.dumps({"extractor": "d2sfm", "max_edge": 80})


def write_photographs(folder: Path, names: list[str] = NAMES) -> Path:
    """Write photographs of these names and return the folder."""
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(folder / name), textured_picture(index, SIZE))
    return folder


def write_database(path: Path, folder: Path, names: list[str] = NAMES) -> Path:
    """Write a database with random features of these photographs, and five matches of each pair; returns the path."""
    create_database(path)
    import_photographs(path, folder, names)
    with FeatureStore(path) as store:
        for seed, name in enumerate(names):
            store.write(name, random_features(seed), FINGERPRINT)
        store.notes.write("images", str(folder))
    with MatchStore(path) as store:
        ids = list(store.image_names())
        for i, j in ((i, j) for i in ids for j in ids if i < j):
            store.write(i, j, np.array([[0, 1], [1, 0], [2, 3], [3, 4], [5, 5]]))
    return path
