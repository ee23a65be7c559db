"""Two photographs each of two sizes, and an empty database for them, to be imported."""

from pathlib import Path

import cv2
import numpy as np
import pycolmap
from support.helpers import textured_picture

from d2sfm.database import FeatureStore
from d2sfm.extraction.folder import import_folder
from d2sfm.features.record import Features
from d2sfm.options import CameraOptions, Convention
from d2sfm.photographs.photograph import read_headers
from d2sfm.skipped import Skipped

NAMES = ["a.jpg", "b.jpg", "sub/a.jpg", "sub/b.jpg"]


def write_two_sizes(folder: Path) -> Path:
    """Write a.jpg and b.jpg of 96 x 80, sub/a.jpg and sub/b.jpg of 64 x 48 px; returns the folder."""
    for index, (name, size) in enumerate(zip(NAMES, [(96, 80), (96, 80), (64, 48), (64, 48)], strict=True)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), textured_picture(index, size))
    return folder


def imported(database: Path, images: Path, names: list[str] = NAMES, cameras: CameraOptions | None = None) -> Skipped:
    """Import photographs of a folder; returns those that were left out."""
    skipped = Skipped()
    import_folder(database, images, read_headers(images, names, skipped), cameras or CameraOptions(), skipped)
    return skipped


def write_some_features(database: Path, fingerprint: str, *names: str) -> None:
    """Write features of that fingerprint for photographs that were imported."""
    with FeatureStore(database) as store:
        for name in names:
            row = store.images()[name]
            features = Features(
                keypoints=np.ones((3, 4), np.float32),
                descriptors=np.ones((3, 512), np.float16),
                image_size=(row.width, row.height),
                input_size=(row.width, row.height),
                convention=Convention.COLMAP,
                scales=(1.0,),
            )
            store.write(name, features, fingerprint)


def cameras_of(database: Path) -> dict[str, pycolmap.Camera]:
    """Cameras by the names of their photographs."""
    with pycolmap.Database.open(database) as colmap:
        return {image.name: colmap.read_camera(image.camera_id) for image in colmap.read_all_images()}
