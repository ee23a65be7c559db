"""What the 3D view of a model is given: points in 16 bits for each coordinate, and cameras, in a level frame."""

from base64 import b64encode
from collections.abc import Mapping

import numpy as np

from d2sfm.report.models import Model

MOST_POINTS = 200_000  # that are drawn
REACH = 4.0  # times the box of 98 of 100 points: what is beyond comes of false matches
STEPS = 65535
LOW, HIGH = 0.01, 0.99
CAMERA_SHARE = 0.035  # length of a camera in the picture, of the scene's size


def scene(model: Model, rows: Mapping[str, int], most: int = MOST_POINTS) -> dict:
    """As JSON takes it. rows: of photographs, by name; most: points."""
    centres, rotations = _poses(model)
    xyz = model.observations.xyz @ model.level.T
    colours = np.reshape([model.model.points3D[each].color for each in sorted(model.model.point3D_ids())], (-1, 3))
    near, low, high = _near(xyz, centres)
    chosen = np.flatnonzero(near)
    chosen = np.random.default_rng(0).permutation(chosen)[:most]  # any first part of them is a fair picture
    steps = np.rint((xyz[chosen] - low) / (high - low) * STEPS).astype("<u2")
    middle, radius = _seen(xyz[near], centres)
    return {
        "label": model.label,
        "unit": model.unit,
        "count": len(xyz),
        "far": int((~near).sum()),
        "low": low.tolist(),
        "size": (high - low).tolist(),
        "positions": b64encode(steps.tobytes()).decode(),
        "colours": b64encode(colours[chosen].astype(np.uint8).tobytes()).decode(),
        "middle": middle.tolist(),
        "radius": radius,
        "depth": _camera_depth(centres, radius),
        "cameras": [
            {
                "row": rows[name],
                "centre": _short(centre),
                "axes": _short(rotation.ravel()),
                "edges": _short(_edges(image.camera)),
            }
            for (name, image), centre, rotation in zip(model.images.items(), centres, rotations, strict=True)
        ],
    }


def _poses(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Centres [I, 3] and axes of the cameras, [I, 3, 3] rows x, y, z, in the level frame."""
    axes = [image.cam_from_world().rotation.matrix() @ model.level.T for image in model.images.values()]
    return model.observations.centres @ model.level.T, np.reshape(axes, (-1, 3, 3))


def _near(xyz: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which points are drawn, [P] bool, and the box of these."""
    finite = np.isfinite(xyz).all(axis=1)
    if not finite.any():
        return finite, np.zeros(3), np.ones(3)
    low, high = np.quantile(xyz[finite], (LOW, HIGH), axis=0)
    low, high = np.minimum(low, centres.min(axis=0)), np.maximum(high, centres.max(axis=0))
    middle, half = (low + high) / 2, REACH * np.linalg.norm(high - low) / 2
    near = finite & (np.abs(xyz - middle) <= half).all(axis=1)
    low, high = xyz[near].min(axis=0), xyz[near].max(axis=0)
    return near, low, np.maximum(high, low + 1e-9 * max(half, 1e-9))


def _seen(xyz: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and radius of what the view begins with: the cameras, and the points but for the outermost."""
    if len(xyz):
        low, high = np.quantile(xyz, (0.05, 0.95), axis=0)
        centres = np.concatenate([centres, [low, high]])
    low, high = centres.min(axis=0), centres.max(axis=0)
    return (low + high) / 2, float(np.linalg.norm(high - low) / 2) or 1.0


def _camera_depth(centres: np.ndarray, radius: float) -> float:
    """Cameras that stand close together are drawn smaller."""
    if len(centres) < 2:
        return 2 * CAMERA_SHARE * radius
    from scipy.spatial import KDTree

    apart = float(np.median(KDTree(centres).query(centres, 2)[0][:, 1]))
    return float(np.clip(0.7 * apart, 0.2 * CAMERA_SHARE * radius, 2 * CAMERA_SHARE * radius))


def _edges(camera) -> np.ndarray:
    """Left, right, top and bottom of the picture at depth 1, without distortion; a panorama has a square's."""
    if not len(camera.focal_length_idxs()):
        return np.array([-0.5, 0.5, -0.5, 0.5])
    fx, fy = (camera.params[camera.focal_length_idxs()[axis]] for axis in (0, -1))
    cx, cy = camera.principal_point_x, camera.principal_point_y
    return np.clip([-cx / fx, (camera.width - cx) / fx, -cy / fy, (camera.height - cy) / fy], -2, 2)


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
