"""Geometry of rendered scenes: textured rectangles, boxes and pinhole cameras.

World: metres, x to the right, y into the scene, z up. Camera: x right, y down, z forward, as in COLMAP.
Pixels are in the *image* frame (COLMAP's): the centre of the top-left pixel is (0.5, 0.5).
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Quad:
    """A textured rectangle in the world.

    origin: [3] float64 in metres, the corner where the texture begins. edge_u, edge_v: [3], the rectangle's sides,
    along the texture's x and y; for a viewer in front they point right and down. texture: [h, w, 3] uint8 RGB, over
    the whole rectangle; [h, w, 4] makes the fourth channel the glow. glow: [h, w] uint8, light at night from behind
    glass, 255 the brightest; 1 is dark glass, 0 no glass; None if there is none at all. Raises ValueError if the edges
    are not orthogonal, or the texture is of another kind.
    """

    origin: np.ndarray
    edge_u: np.ndarray
    edge_v: np.ndarray
    texture: np.ndarray
    glow: np.ndarray | None = None

    def __post_init__(self):
        for name in ("origin", "edge_u", "edge_v"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        area = np.linalg.norm(self.edge_u) * np.linalg.norm(self.edge_v)
        if not area > 0 or abs(self.edge_u @ self.edge_v) > 1e-9 * area:
            raise ValueError(f"edges of a quad must be orthogonal, found {self.edge_u} and {self.edge_v}")
        if self.texture.dtype != np.uint8 or self.texture.ndim != 3 or self.texture.shape[2] not in (3, 4):
            raise ValueError(f"a texture is [h, w, 3 or 4] uint8, found {self.texture.shape} {self.texture.dtype}")
        if self.texture.shape[2] == 4:
            object.__setattr__(self, "glow", self.texture[..., 3])
            object.__setattr__(self, "texture", np.ascontiguousarray(self.texture[..., :3]))

    @cached_property
    def normal(self) -> np.ndarray:
        """Unit vector towards a viewer who sees the texture the right way round, [3]."""
        across = np.cross(self.edge_v, self.edge_u)
        return across / np.linalg.norm(across)

    @cached_property
    def corners(self) -> np.ndarray:
        """The four corners, [4, 3]."""
        u, v = self.edge_u, self.edge_v
        return self.origin + np.stack([np.zeros(3), u, u + v, v])

    @cached_property
    def mip_levels(self) -> list[np.ndarray]:
        """The texture and its halvings down to a single texel; each texel is the mean of what it covers."""
        levels = [self.texture]
        while max(levels[-1].shape[:2]) > 1:
            height, width = (max(1, (edge + 1) // 2) for edge in levels[-1].shape[:2])
            levels.append(cv2.resize(levels[-1], (width, height), interpolation=cv2.INTER_AREA))
        return levels


@dataclass(frozen=True, eq=False)
class Scene:
    """Rectangles under a plain sky.

    sky: [2, 3] RGB 0..255 at the horizon and overhead. centre: [3], what the views look at. extent_m: the diameter of
    the part that views show, for errors in per cent of the scene.
    """

    quads: list[Quad]
    sky: np.ndarray
    centre: np.ndarray
    extent_m: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Camera:
    """A view: PINHOLE intrinsics in pixels and cam_from_world, x_in_cam = rotation @ x_in_world + translation."""

    name: str
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    rotation: np.ndarray
    translation: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Centre of projection in the world, [3]."""
        return -self.rotation.T @ self.translation

    @property
    def calibration(self) -> np.ndarray:
        """The matrix K, [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Pixels of points in the world, [N, 3] -> [N, 2]; NaN for points that are not in front of the camera."""
    in_camera = np.asarray(points, np.float64) @ camera.rotation.T + camera.translation
    depth = np.where(in_camera[:, 2] > 0, in_camera[:, 2], np.nan)
    return in_camera[:, :2] / depth[:, None] * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def look_at(centre: np.ndarray, target: np.ndarray, roll_deg: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """cam_from_world of a camera at ``centre`` that sees ``target`` in its middle, upright but for the roll.

    Returns rotation [3, 3] and translation [3]. Raises ValueError for a view straight up or down.
    """
    forward = np.asarray(target, np.float64) - centre
    right = np.cross(forward, (0, 0, 1.0))
    if np.linalg.norm(right) < 1e-9 * np.linalg.norm(forward) or not forward.any():
        raise ValueError(f"the direction of a view must not be vertical, found {forward}")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ upright
    return rotation, -rotation @ centre


def arc_of_views(
    target: np.ndarray, count: int = 14, size: tuple[int, int] = (640, 480), distance_m: float = 13.0
) -> list[Camera]:
    """Cameras on an arc in front of ``target``, 9 degrees apart in azimuth, of varied height, distance and roll.

    With the change in height neighbours see the target from directions that are 9 to 15 degrees apart. size:
    (width, height) in pixels. Names are view_00.png and so on, in the order of the arc.
    """
    width, height = size
    focal_px = 0.875 * width  # 59 degrees across, like a phone's wide lens at arm's length
    cameras = []
    for index in range(count):
        azimuth = np.radians(9.0 * (index - (count - 1) / 2))
        distance = distance_m * (1 + 0.12 * np.sin(1.7 * index + 1))
        above = 1.4 + 1.2 * np.sin(2.4 * index)
        centre = target + np.array([distance * np.sin(azimuth), -distance * np.cos(azimuth), above])
        aim = target + np.array([0.5 * np.sin(2.0 * index), 0, 0.3 * np.sin(1.3 * index)])
        rotation, translation = look_at(centre, aim, roll_deg=2 * np.sin(3.1 * index))
        intrinsics = {"fx": focal_px, "fy": focal_px, "cx": width / 2, "cy": height / 2}
        frame = {"rotation": rotation, "translation": translation, "width": width, "height": height}
        cameras.append(Camera(name=f"view_{index:02d}.png", **intrinsics, **frame))
    return cameras


def box(
    centre_xy: tuple[float, float],
    size_m: tuple[float, float, float],
    textures: list[np.ndarray],
    bottom_m: float = 0.0,
    turn_deg: float = 0.0,
) -> list[Quad]:
    """The front, right, back and left side and the top of an upright box.

    centre_xy: of its footprint; size_m: along x, y and z before it is turned about the vertical by ``turn_deg``;
    textures: five, in the order of the sides.
    """
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    x, y, z = np.array([c, s, 0]) * size_m[0], np.array([-s, c, 0]) * size_m[1], np.array([0, 0, size_m[2]])
    corner = np.array([*centre_xy, bottom_m]) - (x + y) / 2 + z  # front, left, top
    front, right, back, left, top = textures
    return [
        Quad(corner, x, -z, front),
        Quad(corner + x, y, -z, right),
        Quad(corner + x + y, -x, -z, back),
        Quad(corner + y, -y, -z, left),
        Quad(corner + y, x, -y, top),
    ]
