"""The results of localization for a query."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple

import numpy as np
import pycolmap

from d2sfm.notebook import Displayed
from d2sfm.text import counted


class Reason(StrEnum):
    """Why a query can't be placed."""

    NO_CANDIDATES = "no candidates"
    FEW_MATCHES = "few matches"
    NO_AGREEMENT = "no agreement"
    FEW_INLIERS = "few inliers"


class View(NamedTuple):
    """Matches of a query with one image of the map, for pictures."""

    name: str  # of the image
    xy_in_query: np.ndarray  # [M, 2] pixels of the query as it is stored
    xy_in_map: np.ndarray  # [M, 2] pixels of the image as it is stored
    inliers: np.ndarray  # [M] bool


@dataclass(frozen=True, kw_only=True)
class Pose(Displayed):
    """Where a query was taken.

    cam_from_world: pycolmap.Rigid3d, of the photograph as it is stored. camera: with the estimated focal length, unless
    it was known. inliers: number of the query's keypoints that agree; points: number of points of the model that they
    see. error_px: mean reprojection error, pixels of the photograph. covariance: [6, 6] of rotation (radians), then
    translation, as pycolmap gives it. xy: [M, 2] positions in the photograph (COLMAP's frame) that see the points
    point_ids, [M] int64.
    """

    cam_from_world: pycolmap.Rigid3d
    camera: pycolmap.Camera
    inliers: int
    points: int
    error_px: float
    candidates: tuple[str, ...]
    covariance: np.ndarray
    xy: np.ndarray
    point_ids: np.ndarray
    view: View | None = None

    IN_JSON: ClassVar = {
        "quaternion": tuple[float, ...],
        "translation": tuple[float, ...],
        "centre": tuple[float, ...],
        "camera_model": str,
        "camera_params": tuple[float, ...],
        "inliers": int,
        "points": int,
        "error_px": float,
        "candidates": tuple[str, ...],
        "covariance": tuple[tuple[float, ...], ...],
    }

    @property
    def quaternion(self) -> tuple[float, ...]:
        """Of the rotation, w x y z."""
        x, y, z, w = self.cam_from_world.rotation.quat.tolist()
        return w, x, y, z

    @property
    def translation(self) -> tuple[float, ...]:
        return tuple(self.cam_from_world.translation.tolist())

    @property
    def centre(self) -> tuple[float, ...]:
        """Of projection, in the model's world."""
        return tuple(self.cam_from_world.inverse().translation.tolist())

    @property
    def camera_model(self) -> str:
        return self.camera.model_name

    @property
    def camera_params(self) -> tuple[float, ...]:
        return tuple(self.camera.params.tolist())


@dataclass(frozen=True, kw_only=True)
class NotPlaced(Displayed):
    """A query that can't be placed: the reason, and what was found. inliers: distinct keypoints of the query."""

    reason: Reason
    candidates: tuple[str, ...] = ()
    matches: int = 0
    inliers: int = 0
    needed: int = 0
    view: View | None = None

    IN_JSON: ClassVar = {"reason": Reason, "candidates": tuple[str, ...], "matches": int, "inliers": int}

    def __str__(self) -> str:
        images = counted(len(self.candidates), "image")
        of_matches = f"of {counted(self.matches, 'match')} with {images}"
        return {
            Reason.NO_CANDIDATES: f"{self.reason}: it has no keypoints, or is paired with no image of the map",
            Reason.FEW_MATCHES: f"{self.reason}: {self.matches} with {images}, of fewer keypoints than the "
            f"{self.needed} that are needed",
            Reason.NO_AGREEMENT: f"{self.reason}: no pose agrees with any three {of_matches}",
            Reason.FEW_INLIERS: f"{self.reason}: {self.inliers} keypoints agree, {of_matches}; {self.needed} are "
            "needed",
        }[self.reason]
