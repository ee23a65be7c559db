"""The pose that most correspondences agree with."""

from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.localization.camera import Focal, QueryCamera

TRIALS = 10_000
LEAST_INLIER_RATIO = 0.1


class Estimate(NamedTuple):
    """A pose, the camera with the focal length that goes with it, and which correspondences agree."""

    cam_from_world: pycolmap.Rigid3d
    camera: pycolmap.Camera
    agree: np.ndarray  # [N] bool
    covariance: np.ndarray  # [6, 6]

    def errors_px(self, xy: np.ndarray, xyz: np.ndarray) -> np.ndarray:
        """Reprojection errors of positions, [N] pixels; infinite behind the camera."""
        in_camera = self.cam_from_world * xyz
        seen = np.full(len(xyz), np.inf)
        front = in_camera[:, 2] > 0
        projected = np.reshape(self.camera.img_from_cam(in_camera[front]), (-1, 2)).astype(float)
        distances = np.linalg.norm(projected - xy[front], axis=1)
        seen[front] = np.where(np.isfinite(distances), distances, np.inf)
        return seen


def estimate(
    xy: np.ndarray, xyz: np.ndarray, known: QueryCamera, *, max_error_px: float, loss_px: float, seed: int
) -> Estimate | None:
    """A pose for positions, [N, 2] in pixels of the photograph, of points [N, 3]; None if no three agree.

    loss_px: scale of the robust loss of its refinement, which includes an unknown focal length.
    """
    if len(xy) < 4:
        return None
    options, refinement = pycolmap.AbsolutePoseEstimationOptions(), pycolmap.AbsolutePoseRefinementOptions()
    options.ransac.max_error, options.ransac.random_seed = max_error_px, seed
    options.ransac.min_inlier_ratio, options.ransac.max_num_trials = LEAST_INLIER_RATIO, TRIALS
    options.estimate_focal_length = known.focal is Focal.UNKNOWN
    refinement.refine_focal_length = known.focal is not Focal.KNOWN
    refinement.loss_function_scale = loss_px
    camera = known.copied()
    found = pycolmap.estimate_and_refine_absolute_pose(xy, xyz, camera, options, refinement, return_covariance=True)
    if found is None:
        return None
    pose, covariance = found["cam_from_world"], np.asarray(found["covariance"])[:6, :6]
    if not np.isfinite(pose.matrix()).all():
        return None
    near = Estimate(pose, camera, np.asarray(found["inlier_mask"], bool), covariance)
    # The mask is of the pose before its refinement, which may have left some of them far off, or behind the camera.
    return near._replace(agree=near.agree & (near.errors_px(xy, xyz) <= max_error_px))
