"""A database of views of made-up points with known poses, in which most matches are wrong."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial.transform import Rotation
from support.feature_database import unit

from d2sfm.database import FeatureStore, create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.features.record import Features
from d2sfm.options import Convention

SIZE, FOCAL_PX = (800, 600), 900.0
TRUE, WRONG = 45, 255  # of the matches of each pair


def name_of(number: int) -> str:
    """Of a view; its id in the database is one more."""
    return f"view {number}.jpg"


def pose_of(number: int) -> pycolmap.Rigid3d:
    """The pose of a view, from the world: each stands further aside and is turned more."""
    turned = Rotation.from_euler("y", 4.0 * number, degrees=True)
    return pycolmap.Rigid3d(pycolmap.Rotation3d(turned.as_quat()), [-0.6 * number, 0.1 * number, 0])


def camera() -> pycolmap.Camera:
    """Of all views."""
    return pycolmap.Camera(
        model="PINHOLE", width=SIZE[0], height=SIZE[1], params=[FOCAL_PX, FOCAL_PX, SIZE[0] / 2, SIZE[1] / 2]
    )


def write_posed_views(path: Path, count: int) -> Path:
    """Write a database of so many views; keypoint i of one matches keypoint i of all others, and is true below TRUE."""
    create_database(path)
    with open_pycolmap(path) as colmap:
        for number in range(count):
            colmap.write_image(pycolmap.Image(name=name_of(number), camera_id=colmap.write_camera(camera())))
    shared = np.random.default_rng(7).normal(size=(TRUE + WRONG, 512))
    points = np.random.default_rng(99).uniform([-2, -1.5, 6], [2, 1.5, 10], (TRUE, 3))
    with FeatureStore(path) as store:
        for number in range(count):
            generator = np.random.default_rng(number)
            seen = pose_of(number) * points
            xy = seen[:, :2] / seen[:, 2:] * FOCAL_PX + np.array(SIZE) / 2 + generator.normal(0, 0.3, (TRUE, 2))
            xy = np.concatenate([xy, generator.uniform(0, 1, (WRONG, 2)) * SIZE])
            record = Features(
                keypoints=np.column_stack([xy, np.ones((len(xy), 2))]).astype(np.float32),
                descriptors=unit(shared + 0.3 * generator.normal(size=shared.shape)).astype(np.float16),
                image_size=SIZE,
                input_size=SIZE,
                convention=Convention.COLMAP,
                scales=(1.0,),
            )
            store.write(name_of(number), record, "settings")
    return path


def true_poses(numbers: Iterable[int]) -> dict[int, pycolmap.Rigid3d]:
    """Of these views."""
    return {number: pose_of(number) for number in numbers}


def write_reference(folder: Path, poses: Mapping[int, pycolmap.Rigid3d], size: tuple[int, int] = SIZE) -> Path:
    """Write a COLMAP model of views with these poses, for photographs of this size; returns the folder."""
    model, of_all = pycolmap.Reconstruction(), camera()
    of_all.camera_id, (of_all.width, of_all.height) = 1, size
    model.add_camera_with_trivial_rig(of_all)
    for number, pose in poses.items():
        image = pycolmap.Image(name=name_of(number), camera_id=1, image_id=11 + number)
        model.add_image_with_trivial_frame(image, pose)
    folder.mkdir()
    model.write(folder)
    return folder
