"""Photographs of a textured plane whose correspondences are known exactly."""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

SIZE = (640, 480)  # (width, height) in pixels of each view
FOCAL_PX = 600.0
TILT_DEG, ROLL_DEG = 15.0, 10.0
FINER = 2  # texels for a pixel of the first view: a view that is nearer shows more, as photographs do
MARGIN_PX = 32  # at the border, where patches would leave the picture


class PlaneViews(NamedTuple):
    """Pictures, uint8 [H, W, 3], and the homographies from the first view's pixels (centres at integers) to each."""

    pictures: list[np.ndarray]
    from_first: list[np.ndarray]  # [3, 3]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of each view."""
        return self.pictures[0].shape[1::-1]

    def transfer(self, xy: np.ndarray, a: int, b: int) -> np.ndarray:
        """Positions in view b, [N, 2], of positions (x, y) in view a."""
        return apply(self.from_first[b] @ np.linalg.inv(self.from_first[a]), xy)


def apply(homography: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Positions [N, 2] under a homography [3, 3]."""
    mapped = np.column_stack([xy, np.ones(len(xy))]) @ homography.T
    return mapped[:, :2] / mapped[:, 2:]


def plane_views(seed: int, scale: float, count: int = 4, size: tuple[int, int] = SIZE) -> PlaneViews:
    """A view from straight ahead, then others up to 15 degrees aside, rolled by up to 10 and ``scale`` times nearer."""
    random = np.random.default_rng(seed)
    texture = _texture(random, size)
    centre = (np.array(size) - 1) / 2
    from_first = [np.eye(3)]
    for _ in range(count - 1):
        from_first.append(_shift(centre) @ _from_aside(random, scale) @ _shift(-centre))
    # Texel u is at (u + 0.5) / FINER - 0.5 in a first view as large as the texture, both about the same centre.
    texels = (np.array(texture.shape[1::-1]) - 1) / 2
    first_from_texel = _shift(centre) @ np.diag([1 / FINER, 1 / FINER, 1]) @ _shift(-texels)
    return PlaneViews([_view(texture, change @ first_from_texel, size) for change in from_first], from_first)


def textured_places(views: PlaneViews, count: int) -> np.ndarray:
    """Positions in the first view, at most [count, 2], in order of their contrast in both directions, that all views
    show away from their borders.
    """
    grey = cv2.cvtColor(views.pictures[0], cv2.COLOR_RGB2GRAY)
    places = cv2.goodFeaturesToTrack(grey, 4 * count, 1e-3, minDistance=12, blockSize=9)[:, 0].astype(np.float64)
    seen = np.ones(len(places), bool)
    for view in range(len(views.pictures)):
        xy = views.transfer(places, 0, view)
        seen &= ((xy > MARGIN_PX) & (xy < np.array(views.size) - MARGIN_PX)).all(axis=1)
    return places[seen][:count]


def _from_aside(random: np.random.Generator, scale: float) -> np.ndarray:
    """A camera's view of the plane, from that of one straight ahead; both in pixels from the centre."""
    angle, turn = random.uniform(0, 2 * np.pi), np.radians(random.uniform(TILT_DEG / 3, TILT_DEG))
    tilt = Rotation.from_rotvec(turn * np.array([np.cos(angle), np.sin(angle), 0]))
    rotation = Rotation.from_euler("z", random.uniform(-ROLL_DEG, ROLL_DEG), degrees=True) * tilt
    middle = np.append(random.uniform(-15, 15, 2), FOCAL_PX / scale)
    homography = np.column_stack([rotation.as_matrix()[:, :2], middle])
    return np.diag([FOCAL_PX, FOCAL_PX, 1]) @ homography


def _view(texture: np.ndarray, view_from_texel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Samples of a third of a pixel, averaged: a plain warp aliases where the view is coarser than the texture."""
    times = 3
    fine = np.array([[times, 0, (times - 1) / 2], [0, times, (times - 1) / 2], [0, 0, 1]])
    finer = times * size[0], times * size[1]
    picture = cv2.warpPerspective(texture, fine @ view_from_texel, finer, flags=cv2.INTER_CUBIC)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _shift(offset: np.ndarray) -> np.ndarray:
    return np.array([[1, 0, offset[0]], [0, 1, offset[1]], [0, 0, 1.0]])


def _texture(random: np.random.Generator, view_size: tuple[int, int]) -> np.ndarray:
    """Overlapping shapes of many sizes with sharp edges, as on a wall, twice as large as the first view: uint8."""
    width, height = 2 * FINER * view_size[0], 2 * FINER * view_size[1]
    texture = np.full((height, width, 3), 128, np.uint8)
    for size in np.geomspace(240, 8, round(width * height / 409.6)):
        corner = random.uniform((0, 0), (width, height))
        shape = corner + random.uniform(-size / 2, size / 2, (random.integers(3, 6), 2))
        cv2.fillConvexPoly(texture, cv2.convexHull(shape.astype(np.int32)), random.integers(0, 256, 3).tolist())
    return cv2.GaussianBlur(texture, (0, 0), 0.8)
