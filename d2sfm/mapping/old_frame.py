"""Models brought back to their earlier world frame, or to that of another model."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pycolmap

NO_EXTENT = 1e-9  # of the cameras' centres, as a share of their distance to the points: they are one
MOST_COMPARED = 30  # images of two models, each pair of which gives a similarity
AGREE_DEG, AGREE_SHARE = 2.0, 0.1  # of poses after a similarity; of the median distance of two centres


def put_back(model: pycolmap.Reconstruction, known: pycolmap.Reconstruction) -> None:
    """Give frames, cameras and points the exact numbers of those with the same ids, which rounding changes."""
    for frame_id in known.reg_frame_ids():
        model.frames[frame_id].rig_from_world = known.frames[frame_id].rig_from_world
    for camera_id in set(model.cameras) & set(known.cameras):
        model.cameras[camera_id].params = known.cameras[camera_id].params
    for point_id, point in known.points3D.items():
        model.points3D[point_id].xyz = point.xyz


def align(model: pycolmap.Reconstruction, known: pycolmap.Reconstruction) -> None:
    """Transform a model by the similarity that brings frames to the earlier poses of the same ids."""
    frame_ids = [frame_id for frame_id in known.reg_frame_ids() if frame_id in model.frames]
    now, before = ([each.frames[frame_id].rig_from_world for frame_id in frame_ids] for each in (model, known))
    middle = np.median([point.xyz for point in model.points3D.values()], axis=0)
    model.transform(_similarity(now, before, middle))


def similarity_of_most(
    now: Sequence[pycolmap.Rigid3d], before: Sequence[pycolmap.Rigid3d]
) -> tuple[pycolmap.Sim3d | None, int]:
    """The similarity that brings most of the poses in one world to those of the same images in another, and how many.

    None, with 0, if no two agree: there are fewer, they are at one place, or wrong.
    """
    some = range(0, len(now), -(-len(now) // MOST_COMPARED) or 1)
    pairs, best = list(combinations(some, 2)), []
    apart = np.linalg.norm([np.subtract(*_centres([before[a], before[b]])) for a, b in pairs] or [[0, 0, 0]], axis=1)
    for pair in pairs:
        found = _similarity([now[each] for each in pair], [before[each] for each in pair])
        agreeing = [each for each in some if _agree(found, now[each], before[each], AGREE_SHARE * np.median(apart))]
        best = max(best, agreeing, key=len)
    if len(best) < 2:
        return None, 0
    return _similarity([now[each] for each in best], [before[each] for each in best]), len(best)


def _agree(found: pycolmap.Sim3d, now: pycolmap.Rigid3d, before: pycolmap.Rigid3d, within: float) -> bool:
    if not found.scale > 0:
        return False
    moved = found.transform_camera_world(now)
    turn_deg = np.degrees((moved.rotation * before.rotation.inverse()).angle())
    return turn_deg <= AGREE_DEG and np.linalg.norm(np.subtract(*_centres([moved, before]))) < within


def _similarity(
    now: Sequence[pycolmap.Rigid3d], before: Sequence[pycolmap.Rigid3d], middle: np.ndarray | None = None
) -> pycolmap.Sim3d:
    """The rotation is the mean over the poses, which also works for few or collinear ones; scale and shift come from
    the centres. middle: of the points; the scale is 1 if, seen from there, the centres coincide."""
    rotations = [b.rotation.matrix().T @ a.rotation.matrix() for a, b in zip(now, before, strict=True)]
    u, _, vt = np.linalg.svd(np.sum(rotations, axis=0))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    from_centres, to_centres = _centres(now) @ rotation.T, _centres(before)
    of_mean, to_mean = from_centres.mean(axis=0), to_centres.mean(axis=0)
    spread, wanted = from_centres - of_mean, to_centres - to_mean
    distance = 0.0 if middle is None else np.linalg.norm(of_mean - rotation @ middle)
    scale = 1.0
    if np.linalg.norm(spread) > NO_EXTENT * distance:
        scale = float(np.sum(wanted * spread) / np.sum(spread**2))
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), to_mean - scale * of_mean)


def _centres(poses: Sequence[pycolmap.Rigid3d]) -> np.ndarray:
    return np.array([pose.inverse().translation for pose in poses])
