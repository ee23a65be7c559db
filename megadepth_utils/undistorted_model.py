"""Cameras, points and observations of an undistorted COLMAP model, as arrays.

pycolmap has no accessor for all observations at once. ``get_observation_points2D`` leaves the keypoints without a 3D
point out in C++; what is left costs about a microsecond each. A loop over all keypoints takes five times as long where,
as in MegaDepth, 6 of 100 observe a point.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.undistortion.cameras import is_pinhole


@dataclass(frozen=True, eq=False)
class UndistortedModel:
    """The n images with poses, in ascending image id, and their m observations, each 3D point once in an image."""

    names: list[str]
    sizes: np.ndarray  # [n, 2] int64, width and height of the camera in pixels
    intrinsics: np.ndarray  # [n, 3, 3] float64, pixels, COLMAP's frame
    mean_focals_px: np.ndarray  # [n] float64
    poses: np.ndarray  # [n, 4, 4] float64, cam_from_world
    points: np.ndarray  # [m] int64, rows of points3D_ids and xyz, ascending within an image
    points2D_xy: np.ndarray  # [m, 2] float64, pixels, COLMAP's frame
    image_ptr: np.ndarray  # [n + 1] int64, image k has the observations image_ptr[k] to image_ptr[k + 1]
    points3D_ids: np.ndarray  # [p] int64, ascending
    xyz: np.ndarray  # [p, 3] float64, world

    @property
    def image_of(self) -> np.ndarray:
        """Row of the image of each observation, [m] int64."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.image_ptr))

    def select(self, kept: np.ndarray) -> "UndistortedModel":
        """The model with those observations alone for which ``kept``, [m] bool, is set."""
        n_points = np.bincount(self.image_of[kept], minlength=len(self.names))
        image_ptr = np.concatenate([[0], np.cumsum(n_points)]).astype(np.int64)
        return replace(self, points=self.points[kept], points2D_xy=self.points2D_xy[kept], image_ptr=image_ptr)

    def depths(self) -> np.ndarray:
        """Depth of each observed point in its camera, [m] float64, in the model's unit."""
        depths = np.empty(self.points.size)
        for pose, start, end in zip(self.poses, self.image_ptr[:-1], self.image_ptr[1:], strict=True):
            depths[start:end] = self.xyz[self.points[start:end]] @ pose[2, :3] + pose[2, 3]
        return depths


def read_undistorted_model(folder: Path) -> UndistortedModel:
    """Read the binary or text model in ``folder``.

    Where an image observes a point twice, the last observation in the order of its keypoints counts.

    Raises FileNotFoundError if the model is missing, RuntimeError if it is broken, has no image with a pose, has a
    camera with distortion, or lacks a point that an image observes.
    """
    model = read_model(Path(folder))
    images = [model.images[image_id] for image_id in sorted(model.reg_image_ids())]
    if not images:
        raise RuntimeError(f"the model {folder} has no image with a pose")
    cameras = [model.cameras[image.camera_id] for image in images]
    for image, camera in zip(images, cameras, strict=True):
        if not is_pinhole(camera):
            raise RuntimeError(
                f"{image.name} in {folder} has a camera with distortion, {camera.model_name}: undistort it first"
            )
    ids, xyz = _points(model)
    points, xy = zip(*(_observations(image, ids) for image in images), strict=True)
    return UndistortedModel(
        names=[image.name for image in images],
        sizes=np.array([(camera.width, camera.height) for camera in cameras]),
        intrinsics=np.array([camera.calibration_matrix() for camera in cameras]),
        mean_focals_px=np.array([camera.mean_focal_length() for camera in cameras]),
        poses=np.array([_matrix(image.cam_from_world()) for image in images]),
        points=np.concatenate(points),
        points2D_xy=np.concatenate(xy),
        image_ptr=np.concatenate([[0], np.cumsum([part.size for part in points])]).astype(np.int64),
        points3D_ids=ids.astype(np.int64),
        xyz=xyz,
    )


def _points(model: pycolmap.Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Ids, [p] uint64 and ascending, and positions, [p, 3], of all points."""
    count = model.num_points3D()
    ids = np.fromiter(model.points3D.keys(), np.uint64, count)
    xyz = np.fromiter((point.xyz for point in model.points3D.values()), np.dtype((np.float64, 3)), count)
    order = np.argsort(ids)
    return ids[order], xyz[order]


def _observations(image: pycolmap.Image, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points of an image, [k] int64 ascending rows of ``ids``, and their positions, [k, 2]."""
    observed = list(image.get_observation_points2D())
    own_ids = np.array([point.point3D_id for point in observed], np.uint64)
    points = np.searchsorted(ids, own_ids)
    known = points < ids.size
    known[known] = ids[points[known]] == own_ids[known]
    if not known.all():
        raise RuntimeError(f"{image.name} observes a 3D point that the model lacks")
    xy = np.array([(point.x(), point.y()) for point in observed]).reshape(-1, 2)
    distinct, first = np.unique(points[::-1], return_index=True)
    return distinct, xy[::-1][first]  # first from behind is the last of a point that is observed twice


def _matrix(cam_from_world: pycolmap.Rigid3d) -> np.ndarray:
    return np.vstack([cam_from_world.matrix(), [0, 0, 0, 1]])
