"""Photographs, their database and a model whose every residual is known, for pictures of these."""

from pathlib import Path

import numpy as np
import pycolmap
from support.transfer_files import NAMES, SIZE, write_photographs

from d2sfm.database import FeatureStore, MatchStore, create_database, import_photographs
from d2sfm.features.record import Features
from d2sfm.options import Convention

POINTS, OTHERS = 12, 3  # keypoints of each image, those that see a point first
FOCAL_PX, DEPTH_M, STEP_M = 150.0, 5.0, 0.2
RESIDUAL = np.array([0.6, -0.8])  # of the keypoint of point 1 in each image; of others none
POINT_IDS = range(1, POINTS + 1)


def projected(number: int) -> np.ndarray:
    """Where the image of that number sees the points, [POINTS, 2]."""
    xyz = np.random.default_rng(7).uniform((-1.5, -1.2, DEPTH_M), (1.5, 1.2, DEPTH_M + 1), (POINTS, 3))
    xyz = xyz - (STEP_M * number, 0, 0)
    return FOCAL_PX * xyz[:, :2] / xyz[:, 2:] + np.divide(SIZE, 2)


def keypoints(number: int) -> np.ndarray:
    """Of the image of that number, [POINTS + OTHERS, 2]."""
    observed = projected(number)
    observed[0] -= RESIDUAL
    others = np.random.default_rng(number).uniform(10, 100, (OTHERS, 2))
    return np.concatenate([observed, others]).astype(np.float32)


def write_shown_scene(folder: Path) -> Path:
    """Write ``photographs``, ``db.db`` and ``sparse/0``, and return the folder."""
    photographs = write_photographs(folder / "photographs")
    database = folder / "db.db"
    create_database(database)
    import_photographs(database, photographs, NAMES)
    with FeatureStore(database) as store:
        for number, name in enumerate(NAMES):
            xy, count = keypoints(number), POINTS + OTHERS
            record = Features(
                keypoints=np.column_stack([xy, np.full(count, 2), np.linspace(1, 0, count)]).astype(np.float32),
                descriptors=np.eye(512, dtype=np.float16)[:count],
                image_size=SIZE,
                input_size=(SIZE[0] // 2, SIZE[1] // 2),
                convention=Convention.COLMAP,
                scales=(1.0,),
            )
            store.write(name, record, "settings")
        store.notes.note_images_folder(photographs)
    with MatchStore(database) as store:
        matches = np.repeat(np.arange(POINTS, dtype=np.uint32)[:, None], 2, axis=1)
        verified = pycolmap.TwoViewGeometry(inlier_matches=matches[:8])
        store.write(1, 2, matches, verified)
        store.write(2, 3, matches[:4], pycolmap.TwoViewGeometry(), refused="chance explains it")
    _write_model(folder / "sparse" / "0")
    return folder


def _write_model(folder: Path) -> None:
    model = pycolmap.Reconstruction()
    params = [FOCAL_PX, FOCAL_PX, SIZE[0] / 2, SIZE[1] / 2]
    camera = pycolmap.Camera(camera_id=1, model="PINHOLE", width=SIZE[0], height=SIZE[1], params=params)
    model.add_camera_with_trivial_rig(camera)
    for number, name in enumerate(NAMES):
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), [-STEP_M * number, 0, 0])
        image = pycolmap.Image(name=name, keypoints=keypoints(number).astype(float), camera_id=1, image_id=number + 1)
        model.add_image_with_trivial_frame(image, pose)
    xyz = np.random.default_rng(7).uniform((-1.5, -1.2, DEPTH_M), (1.5, 1.2, DEPTH_M + 1), (POINTS, 3))
    for index, position in enumerate(xyz):
        seen_by = range(len(NAMES)) if index < POINTS - 1 else range(2)  # the last point is seen by two images
        track = pycolmap.Track()
        for number in seen_by:
            track.add_element(number + 1, index)
        model.add_point3D_with_id(index + 1, pycolmap.Point3D(xyz=position, track=track, color=[90, 90, 90]))
    model.update_point_3d_errors()
    folder.mkdir(parents=True)
    model.write_binary(folder)
