"""Which correspondences agree with a pose."""

import numpy as np
import pycolmap
import pytest
from support.small_map import camera

from d2sfm.localization import estimation
from d2sfm.localization.camera import Focal, QueryCamera
from d2sfm.localization.estimation import estimate

LIMITS = {"max_error_px": 12.0, "loss_px": 1.0, "seed": 0}


@pytest.fixture
def known() -> QueryCamera:
    return QueryCamera(camera(), Focal.KNOWN)


def correspondences(noise_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Of points in front of a camera at the origin: where it sees them, and where they are."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform((-2, -2, 4), (2, 2, 8), (200, 3))
    return camera().img_from_cam(xyz) + rng.normal(0, noise_px, (200, 2)), xyz


def test_what_agrees_is_near_the_refined_pose(known):
    """Which is not the one that RANSAC found it near."""
    xy, xyz = correspondences(noise_px=8)
    found = estimate(xy, xyz, known, **LIMITS)
    assert found.agree.sum() > 50
    assert found.errors_px(xy, xyz)[found.agree].max() <= LIMITS["max_error_px"]


def test_what_a_refined_pose_has_behind_its_camera_does_not_agree(known, monkeypatch):
    xy, xyz = correspondences(noise_px=0)
    xyz[7] *= -1e-3  # it is seen in the same direction, backwards
    real = pycolmap.estimate_and_refine_absolute_pose
    monkeypatch.setattr(
        estimation.pycolmap,
        "estimate_and_refine_absolute_pose",
        lambda *given, **more: real(*given, **more) | {"inlier_mask": np.ones(len(xy), bool)},
    )
    found = estimate(xy, xyz, known, **LIMITS)
    assert np.flatnonzero(~found.agree).tolist() == [7]
    assert np.isfinite(found.errors_px(xy, xyz)[found.agree]).all()
