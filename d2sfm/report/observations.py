"""All observations of a model: positions, residuals, and the angles under which points are seen."""

from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import placed_images

MOST_RAYS = 32  # of a point, evenly out of its track: all pairs of them are looked at


class Observations(NamedTuple):
    """Of the points of a model by its registered images. Rows of points are in order of their ids."""

    image_ids: list[int]  # sorted; of registered images whose pose is finite
    centres: np.ndarray  # [I, 3], of their cameras
    xyz: np.ndarray  # [P, 3]
    image: np.ndarray  # [O] int64, row in image_ids
    point: np.ndarray  # [O] int64, row in xyz
    xy: np.ndarray  # [O, 2], pixels of the photographs
    residual: np.ndarray  # [O, 2], measured less projected, pixels; not a number for points behind the camera

    @property
    def error_px(self) -> np.ndarray:
        """[O]."""
        return np.hypot(*self.residual.T)

    @property
    def track_lengths(self) -> np.ndarray:
        """[P]: images that see a point."""
        return np.bincount(self.point, minlength=len(self.xyz))


def observations(model: pycolmap.Reconstruction) -> Observations:
    """All of them, in order of images."""
    image_ids = sorted(image.image_id for image in placed_images(model))
    point_ids = np.array(sorted(model.point3D_ids()), np.uint64)
    xyz = np.reshape([model.points3D[point_id].xyz for point_id in point_ids.tolist()], (-1, 3))
    found = [_of_image(model.images[image_id], point_ids, xyz) for image_id in image_ids]
    counts = [len(points) for points, _, _ in found]
    points, xy, residual = zip(*found, strict=True) if found else ([np.zeros(0, int)], *[[np.zeros((0, 2))]] * 2)
    return Observations(
        image_ids=image_ids,
        centres=np.reshape([model.images[image_id].projection_center() for image_id in image_ids], (-1, 3)),
        xyz=xyz,
        image=np.repeat(np.arange(len(image_ids)), counts),
        point=np.concatenate(points),
        xy=np.concatenate(xy),
        residual=np.concatenate(residual),
    )


def _of_image(image: pycolmap.Image, point_ids: np.ndarray, xyz: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of points, positions and residuals of an image's observations."""
    observed = image.get_observation_points2D()
    rows = np.searchsorted(point_ids, np.array([point.point3D_id for point in observed], np.uint64))
    xy = np.reshape([point.xy for point in observed], (-1, 2))
    pose = image.cam_from_world()
    in_camera = xyz[rows] @ pose.rotation.matrix().T + pose.translation
    projected = image.camera.img_from_cam(in_camera) if len(rows) else np.zeros((0, 2))
    return rows, xy, xy - projected


def angles_deg(given: Observations) -> np.ndarray:
    """The largest angle between two rays to each point, [P] degrees; 0 for a point that one image sees, or whose place
    is not finite."""
    order = np.argsort(given.point, kind="stable")
    lengths, starts = given.track_lengths, np.concatenate([[0], np.cumsum(given.track_lengths)])
    found = np.zeros(len(given.xyz))
    for length in np.unique(lengths[lengths > 1]).tolist():
        points = np.flatnonzero(lengths == length)
        taken = np.unique(np.linspace(0, length - 1, min(length, MOST_RAYS)).round().astype(int))
        for some in np.array_split(points, 1 + len(points) * len(taken) ** 2 // 2_000_000):
            images = given.image[order[starts[some][:, None] + taken]]
            rays = given.centres[images] - given.xyz[some][:, None]
            rays /= np.linalg.norm(rays, axis=2, keepdims=True)
            cosines = np.einsum("pix,pjx->pij", rays, rays).min(axis=(1, 2))
            found[some] = np.rad2deg(np.arccos(np.clip(np.nan_to_num(cosines, nan=1.0), -1, 1)))
    return found
