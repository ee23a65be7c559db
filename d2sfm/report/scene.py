"""Data of the 3D view of a model: points in 16 bits per coordinate, and cameras, in a level frame."""

from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from d2sfm.report.models import Model

MOST_POINTS = 200_000  # that a page has
CELL_POINTS = 50_000  # of a chunk that is fetched when it is looked at
REACH = 4.0  # times the box of 98 of 100 points: what is beyond comes of false matches
STEPS = 65535
LOW, HIGH = 0.01, 0.99
CAMERA_SHARE = 0.035  # length of a camera in the picture, of the scene's size


class Chunk(NamedTuple):
    """A chunk of points: 16 bits per coordinate in a box, then 8 per colour."""

    low: np.ndarray  # [3], of the box
    size: np.ndarray  # [3]
    count: int
    data: bytes  # [count, 3] uint16, little-endian, then [count, 3] uint8

    def told(self, **where: str) -> dict:
        """For JSON. where: the data in base64, or their url."""
        return {"low": _short(self.low), "size": _short(self.size), "count": self.count, **where}

    def inline(self) -> dict:
        """With the data in it."""
        return self.told(data=b64encode(self.data).decode())


class Cloud(NamedTuple):
    """The points of a model that can be drawn, in random order, so that any first part is a fair sample."""

    xyz: np.ndarray  # [P, 3], in the level frame
    colours: np.ndarray  # [P, 3] uint8
    count: int  # of all points of the model
    far: int  # of these, those that lie far outside


def cloud(model: Model) -> Cloud:
    """All but points far outside, which come from false matches."""
    xyz = model.observations.xyz @ model.level.T
    colours = np.reshape([model.model.points3D[each].color for each in sorted(model.model.point3D_ids())], (-1, 3))
    near = _near(xyz, _poses(model)[0])
    order = np.random.default_rng(0).permutation(np.flatnonzero(near))
    return Cloud(xyz[order], colours[order].astype(np.uint8), len(xyz), int((~near).sum()))


def chunk(points: Cloud, rows: slice | np.ndarray) -> Chunk:
    """Some of the points."""
    xyz = points.xyz[rows]
    low, high = (xyz.min(axis=0), xyz.max(axis=0)) if len(xyz) else (np.zeros(3), np.ones(3))
    size = np.maximum(high - low, 1e-9 * max(np.abs(xyz).max(initial=0.0), 1e-9))
    steps = np.rint((xyz - low) / size * STEPS).astype("<u2")
    return Chunk(low, size, len(xyz), steps.tobytes() + points.colours[rows].tobytes())


def cells(points: Cloud, most: int = CELL_POINTS) -> list[Chunk]:
    """The points beyond the first MOST_POINTS, near each other in each chunk."""
    waiting, found = [np.arange(min(MOST_POINTS, len(points.xyz)), len(points.xyz))], []
    while waiting:
        rows = waiting.pop()
        if len(rows) <= most:
            found += [chunk(points, rows)] if len(rows) else []
            continue
        xyz = points.xyz[rows]
        longest = int(np.argmax(np.ptp(xyz, axis=0)))
        order = np.argsort(xyz[:, longest], kind="stable")
        waiting += [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]
    return found


def scene(model: Model, rows: Mapping[str, int], points: Cloud, first: dict) -> dict:
    """Content of the view, for JSON. rows: of photographs, by name; first: points to begin with."""
    centres, rotations = _poses(model)
    middle, radius = _seen(points.xyz, centres)
    return {
        "label": model.label,
        "unit": model.unit,
        "count": points.count,
        "far": points.far,
        "first": first,
        "middle": _short(middle),
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


def inline_scene(model: Model, rows: Mapping[str, int]) -> dict:
    """``scene`` with at most MOST_POINTS points in it."""
    points = cloud(model)
    return scene(model, rows, points, chunk(points, slice(MOST_POINTS)).inline())


def _poses(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Centres [I, 3] and axes of the cameras, [I, 3, 3] rows x, y, z, in the level frame."""
    axes = [image.cam_from_world().rotation.matrix() @ model.level.T for image in model.images.values()]
    return model.observations.centres @ model.level.T, np.reshape(axes, (-1, 3, 3))


def _near(xyz: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Which points are drawn, [P] bool."""
    finite = np.isfinite(xyz).all(axis=1)
    if not finite.any():
        return finite
    low, high = np.quantile(xyz[finite], (LOW, HIGH), axis=0)
    low, high = np.minimum(low, centres.min(axis=0)), np.maximum(high, centres.max(axis=0))
    return finite & (np.abs(xyz - (low + high) / 2) <= REACH * np.linalg.norm(high - low) / 2).all(axis=1)


def _seen(xyz: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and radius of the initial view: the cameras, and the points without the outermost."""
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
