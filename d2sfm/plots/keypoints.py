"""Overlays on photographs: keypoints of one, matches of two. Drawn with OpenCV."""

import cv2
import numpy as np

from d2sfm.plots.canvas import SHIFT, fixed
from d2sfm.plots.palette import BACKGROUND, INLIER, OUTLIER, SHADOW


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
        for ink, thickness in ((SHADOW, zoom + 2), (colour, zoom)):
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


def _backdrop(image: np.ndarray, zoom: int) -> np.ndarray:
    """The picture, larger, darker and half grey, so that what is drawn on it stands out."""
    if zoom > 1:
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint(0.35 * image + 0.35 * grey).astype(np.uint8)
