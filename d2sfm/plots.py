"""Pictures of keypoints, of matches and of recovered cameras, from data that others computed. Drawn with OpenCV.

Images are [H, W, 3] uint8 RGB; positions are in the *image* frame (centre of the top-left pixel at (0.5, 0.5)).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from d2sfm.files import replacing

INLIER, OUTLIER = (88, 224, 120), (236, 88, 74)
BACKGROUND, GRID, TEXT = (19, 23, 30), (42, 49, 60), (222, 226, 232)
RECOVERED, TRUE = (255, 176, 66), (72, 196, 255)
SHIFT = 4  # OpenCV's fixed-point coordinates have this many binary places
SMOOTHING = 2  # scenes are drawn this many times larger, then reduced


def save_image(path: Path | str, image: np.ndarray) -> None:
    """Write a picture as PNG, at once: the file is the old one or the new one, never a part.

    image: [H, W, 3] uint8 RGB. Raises ValueError for another kind of array or suffix, FileNotFoundError where the
    folder is missing.
    """
    path = Path(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture is [H, W, 3] uint8, found {image.shape} {image.dtype}")
    if path.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as .png, found {path.name}")
    with replacing(path) as stream:
        stream.write(cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes())


def draw_keypoints(image: np.ndarray, keypoints: np.ndarray, zoom: int = 1) -> np.ndarray:
    """The picture, ``zoom`` times larger and a little dimmed, with a ring for each keypoint.

    keypoints: [N, 4] x, y, scale, score in descending order of score, as in ``Features``; yellow is a high score,
    violet a low one, by rank; a ring's radius grows with the keypoint's scale.
    """
    canvas = _backdrop(image, zoom)
    ranks = np.linspace(240, 60, max(len(keypoints), 1)).astype(np.uint8)
    colours = cv2.applyColorMap(ranks[None], cv2.COLORMAP_PLASMA)[0, : len(keypoints), ::-1].tolist()
    for (x, y, scale, _), colour in reversed(list(zip(keypoints.tolist(), colours, strict=True))):
        centre, radius = fixed((x, y), zoom), round(1.5 * zoom * np.sqrt(scale) * 2**SHIFT)
        for ink, thickness in (((14, 14, 20), zoom + 2), (colour, zoom)):
            cv2.circle(canvas, centre, radius, ink, thickness, cv2.LINE_AA, SHIFT)
    return canvas


def draw_matches(
    image_a: np.ndarray,
    image_b: np.ndarray,
    xy_a: np.ndarray,
    xy_b: np.ndarray,
    inliers: np.ndarray | None = None,
    most: int = 200,
    zoom: int = 1,
) -> np.ndarray:
    """Both pictures side by side, ``zoom`` times larger, with a line for each match.

    xy_a, xy_b: [M, 2]. inliers: bool [M], lines are green where it is set and red elsewhere; None makes all green. Of
    more than ``most`` matches a sample is drawn, always the same one. Raises ValueError where lengths differ.
    """
    inliers = np.ones(len(xy_a), bool) if inliers is None else np.asarray(inliers, bool)
    if not len(xy_a) == len(xy_b) == len(inliers):
        raise ValueError(f"expected equal numbers, found {len(xy_a)} and {len(xy_b)} positions, {len(inliers)} flags")
    left_of_b = image_a.shape[1] + 8
    height, width = max(len(image_a), len(image_b)), left_of_b + image_b.shape[1]
    canvas = np.full((height * zoom, width * zoom, 3), BACKGROUND, np.uint8)
    for image, left in ((image_a, 0), (image_b, left_of_b)):
        canvas[: len(image) * zoom, left * zoom : (left + image.shape[1]) * zoom] = _backdrop(image, zoom)
    drawn = np.sort(np.random.default_rng(0).permutation(len(xy_a))[:most])
    for wanted, colour, share in ((False, OUTLIER, 0.45), (True, INLIER, 0.9)):
        lines = canvas.copy()
        for index in drawn[inliers[drawn] == wanted]:
            start, end = fixed(xy_a[index], zoom), fixed(xy_b[index] + (left_of_b, 0), zoom)
            cv2.line(lines, start, end, colour, max(1, zoom // 2), cv2.LINE_AA, SHIFT)
            for centre in (start, end):
                cv2.circle(lines, centre, round(1.5 * zoom * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(lines, share, canvas, 1 - share, 0, dst=canvas)
    return canvas


def draw_cameras(
    centres: np.ndarray,
    rotations: np.ndarray,
    points: np.ndarray,
    colours: np.ndarray,
    true_centres: np.ndarray | None = None,
    true_rotations: np.ndarray | None = None,
    size: tuple[int, int] = (1600, 760),
) -> np.ndarray:
    """A reconstruction, seen at a slant and from above: cameras as small pyramids, points in their colours.

    centres: [N, 3] and rotations: [N, 3, 3], cam_from_world, in any world and unit; which way is up is taken from
    the cameras, that are held upright as a rule. points: [P, 3], colours: [P, 3] uint8. true_centres,
    true_rotations: the same for the true cameras, in the same world. size: (width, height) of the picture.
    """
    with_truth = true_centres is not None and true_rotations is not None
    groups = [(TRUE, true_centres, true_rotations, 4 * SMOOTHING)] if with_truth else []
    groups.append((RECOVERED, centres, rotations, SMOOTHING + 1))
    axes = _level_axes(np.concatenate([rotations for _, _, rotations, _ in groups]).reshape(-1, 3, 3))
    points = np.reshape(points, (-1, 3)) @ axes.T
    spots = np.concatenate([np.reshape(centres, (-1, 3)) for _, centres, _, _ in groups]) @ axes.T
    framed = _framed(points, spots)
    groups = [(ink, _pyramids(c, r, 0.033 * _extent(framed)) @ axes.T, thick) for ink, c, r, thick in groups]

    canvas = np.full((size[1] * SMOOTHING, size[0] * SMOOTHING, 3), BACKGROUND, np.uint8)
    for look, panel in zip(_looks(framed), np.split(canvas, [round(0.58 * canvas.shape[1])], axis=1), strict=True):
        view = look.fitted(framed, panel.shape[1::-1], 40 * SMOOTHING)
        _draw_grid(panel, view, framed)
        _draw_points(panel, view, points, colours)
        for ink, pyramids, thick in groups:
            _draw_pyramids(panel, view, pyramids, ink, thick)
    truth = [(TRUE, f"true cameras ({len(true_centres)})")] if with_truth else []
    _draw_legend(
        canvas, [(RECOVERED, f"recovered cameras ({len(centres)})"), *truth, (TEXT, f"{len(points):,} points")]
    )
    return cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)


def _backdrop(image: np.ndarray, zoom: int) -> np.ndarray:
    """The picture, larger, darker and half grey, so that what is drawn on it stands out."""
    if zoom > 1:
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint(0.35 * image + 0.35 * grey).astype(np.uint8)


def fixed(xy, zoom: float = 1) -> tuple[int, int]:
    """OpenCV's fixed-point coordinates of a position in the image frame: OpenCV counts from pixel centres."""
    return tuple(round((float(value) * zoom - 0.5) * 2**SHIFT) for value in xy)


@dataclass(frozen=True)
class _View:
    """A look at the world: turned by ``matrix`` about ``middle``, seen from ``distance``, scaled and shifted."""

    matrix: np.ndarray  # rows: right, down and away from the viewer
    middle: np.ndarray
    distance: float  # infinite for a plan without perspective
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def pixels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N, 2] and how many times smaller than at the middle things are there, [N]."""
        turned = (points - self.middle) @ self.matrix.T
        smaller = np.maximum(1 + turned[:, 2] / self.distance, 0.05)
        return turned[:, :2] / smaller[:, None] * self.scale + self.shift, smaller

    def fitted(self, framed: np.ndarray, size: tuple[int, int], margin_px: int) -> "_View":
        """The same look with all of ``framed`` in the middle of a picture of this size."""
        flat, _ = self.pixels(framed)
        low, high = flat.min(axis=0), flat.max(axis=0)
        scale = ((np.array(size) - 2 * margin_px) / np.maximum(high - low, 1e-9)).min()
        return replace(self, scale=float(scale), shift=tuple((np.array(size) - (low + high) * scale) / 2))


def _looks(framed: np.ndarray) -> tuple[_View, _View]:
    """From behind the cameras, at a slant; and from above. The world is levelled: right, forward, up."""
    middle, distance = (framed.min(axis=0) + framed.max(axis=0)) / 2, 1.6 * _extent(framed)
    turn, tilt = np.radians(32), np.radians(34)
    right = np.array([np.cos(turn), np.sin(turn), 0])
    away = np.array([-np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), -np.sin(tilt)])
    slanted = np.stack([right, np.cross(away, right), away])
    above = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    return _View(slanted, middle, distance), _View(above, middle, np.inf)


def _extent(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def _level_axes(rotations: np.ndarray) -> np.ndarray:
    """Right, forward and up of a world in which cameras look about level and are held upright, [3, 3] rows."""
    if not len(rotations):
        return np.eye(3)
    across, down, ahead = np.moveaxis(rotations, 1, 0)
    # Up is what the x axes of all cameras are most nearly perpendicular to; where they leave a choice, y axes decide.
    up = np.linalg.eigh(across.T @ across - 0.05 * down.T @ down)[1][:, 0]
    up = up if up @ down.sum(axis=0) < 0 else -up
    right = np.cross(ahead.sum(axis=0), up)
    if np.linalg.norm(right) < 0.1 * len(rotations):  # cameras all around, or straight down: no common direction
        right = across[0] - (across[0] @ up) * up
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


def _framed(points: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """What has to be in the picture, [F, 3]: all spots, and the points but for the outermost 2 per cent each way."""
    if len(points):
        low, high = np.quantile(points, (0.02, 0.98), axis=0)
        points = points[((points >= low) & (points <= high)).all(axis=1)]
    framed = np.concatenate([points, spots])
    if len(framed) and np.ptp(framed, axis=0).any():
        return framed
    return framed[:1].sum(axis=0) + np.array([[-1.0], [1.0]])  # one place or none gets some room


def _pyramids(centres: np.ndarray, rotations: np.ndarray, depth: float) -> np.ndarray:
    """Apex and four corners of each camera's pyramid in the world, [N, 5, 3]."""
    corners = np.array([[0, 0, 0], [-0.8, -0.6, 1], [0.8, -0.6, 1], [0.8, 0.6, 1], [-0.8, 0.6, 1]]) * depth
    return np.reshape(centres, (-1, 1, 3)) + corners @ np.reshape(rotations, (-1, 3, 3))


def _draw_grid(canvas: np.ndarray, view: _View, framed: np.ndarray) -> None:
    """A floor of squares under the scene, with a spacing of 1, 2 or 5 times a power of ten."""
    target = _extent(framed) / 14
    power = 10.0 ** np.floor(np.log10(target))
    spacing = power * min((1, 2, 5, 10), key=lambda step: abs(step * power - target))
    floor = framed[:, 2].min()
    low = np.floor(framed[:, :2].min(axis=0) / spacing) * spacing
    high = np.ceil(framed[:, :2].max(axis=0) / spacing) * spacing
    for axis in (0, 1):
        for value in np.arange(low[axis], high[axis] + spacing / 2, spacing):
            ends = np.array([[*low, floor], [*high, floor]])
            ends[:, axis] = value
            start, end = view.pixels(ends)[0]
            cv2.line(canvas, fixed(start), fixed(end), GRID, SMOOTHING, cv2.LINE_AA, SHIFT)


def _draw_points(canvas: np.ndarray, view: _View, points: np.ndarray, colours: np.ndarray) -> None:
    """A disc for each point, the farthest first."""
    pixels, smaller = view.pixels(points)
    inks = np.clip(colours * 1.1 + 14, 0, 255).astype(int).tolist()
    inside = ((pixels >= 0) & (pixels <= canvas.shape[1::-1])).all(axis=1)  # strays can lie beyond OpenCV's integers
    for index in np.nonzero(inside)[0][np.argsort(-smaller[inside], kind="stable")]:
        radius = round(2.5 * SMOOTHING / smaller[index] * 2**SHIFT)
        cv2.circle(canvas, fixed(pixels[index]), radius, inks[index], -1, cv2.LINE_AA, SHIFT)


def _draw_pyramids(
    canvas: np.ndarray, view: _View, pyramids: np.ndarray, colour: tuple[int, int, int], width: int
) -> None:
    for pyramid in pyramids:
        apex, *face = (fixed(xy) for xy in view.pixels(pyramid)[0])
        for start, end in zip(face, [*face[1:], face[0]], strict=True):
            cv2.line(canvas, start, end, colour, width, cv2.LINE_AA, SHIFT)
            cv2.line(canvas, apex, start, colour, width, cv2.LINE_AA, SHIFT)


def _draw_legend(canvas: np.ndarray, entries: list[tuple[tuple[int, int, int], str]]) -> None:
    """A line of text for each entry, with a disc of its colour, in the lower left corner."""
    unit = 11 * SMOOTHING
    for row, (colour, text) in enumerate(reversed(entries)):
        y = canvas.shape[0] - 2 * unit - row * round(2.3 * unit)
        cv2.circle(canvas, (2 * unit, y - unit // 2), unit // 2, colour, -1, cv2.LINE_AA)
        cv2.putText(canvas, text, (3 * unit, y), cv2.FONT_HERSHEY_DUPLEX, unit / 22, TEXT, SMOOTHING, cv2.LINE_AA)
