"""A model that was gone on with, brought back to the world that it had."""

from collections.abc import Sequence

import numpy as np
import pycolmap

NO_EXTENT = 1e-9  # of the cameras' centres, as a share of their distance to the points: they are one


def put_back(model: pycolmap.Reconstruction, known: pycolmap.Reconstruction) -> None:
    """Give frames, cameras and points the very numbers that those of the same ids have, which rounding changes."""
    for frame_id in known.reg_frame_ids():
        model.frames[frame_id].rig_from_world = known.frames[frame_id].rig_from_world
    for camera_id in set(model.cameras) & set(known.cameras):
        model.cameras[camera_id].params = known.cameras[camera_id].params
    for point_id, point in known.points3D.items():
        model.points3D[point_id].xyz, model.points3D[point_id].color = point.xyz, point.color


def align(model: pycolmap.Reconstruction, known: pycolmap.Reconstruction) -> None:
    """Transform a model by the similarity that brings the frames of the same ids to the poses that they had.

    Rotation is the mean of those of the frames, which few or collinear ones tell, too; scale and shift are of centres.
    """
    frame_ids = [frame_id for frame_id in known.reg_frame_ids() if frame_id in model.frames]
    now, before = ([each.frames[frame_id].rig_from_world for frame_id in frame_ids] for each in (model, known))
    rotations = [b.rotation.matrix().T @ a.rotation.matrix() for a, b in zip(now, before, strict=True)]
    u, _, vt = np.linalg.svd(np.sum(rotations, axis=0))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    from_centres, to_centres = _centres(now) @ rotation.T, _centres(before)
    of_mean, to_mean = from_centres.mean(axis=0), to_centres.mean(axis=0)
    spread, wanted = from_centres - of_mean, to_centres - to_mean
    scale = 1.0
    if np.linalg.norm(spread) > NO_EXTENT * np.linalg.norm(of_mean - rotation @ _middle(model)):
        scale = float(np.sum(wanted * spread) / np.sum(spread**2))
    model.transform(pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), to_mean - scale * of_mean))


def _centres(poses: Sequence[pycolmap.Rigid3d]) -> np.ndarray:
    return np.array([pose.inverse().translation for pose in poses])


def _middle(model: pycolmap.Reconstruction) -> np.ndarray:
    return np.median([point.xyz for point in model.points3D.values()], axis=0)
