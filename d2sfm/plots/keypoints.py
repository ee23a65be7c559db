"""Overlays on photographs: keypoints of one, matches of two. Drawn with OpenCV."""

import cv2
import numpy as np

from d2sfm.plots.canvas import SHIFT, fixed, sequence
from d2sfm.plots.palette import BACKGROUND, INLIER, OTHER_KIND, OUTLIER, SHADOW, Colour


def draw_keypoints(
    image: np.ndarray, keypoints: np.ndarray, zoom: int = 1, stroke: int | None = None, colour: Colour | None = None
) -> np.ndarray:
    """The picture, ``zoom`` times larger and a little dimmed, with a ring for each keypoint.

    keypoints: [N, 4] x, y, scale, score in descending order of score, as in ``Features``; yellow is a high score,
    violet a low one, by rank, or all have one colour; a ring's radius grows with the keypoint's scale. stroke: width of
    lines in pixels of the result (default: zoom).
    """
    canvas = backdrop(image, zoom)
    add_keypoints(canvas, keypoints, zoom, stroke or zoom, colour)
    return canvas


def add_keypoints(
    canvas: np.ndarray, keypoints: np.ndarray, zoom: int, stroke: int, colour: Colour | None = None
) -> None:
    """Draw the rings of ``draw_keypoints`` on a picture that is ``zoom`` times larger."""
    count = len(keypoints)
    colours = sequence(np.linspace(1, 0, count)) if colour is None else np.tile(colour, (count, 1))
    for (x, y, scale, _), ring in reversed(list(zip(keypoints.tolist(), colours.tolist(), strict=True))):
        centre, radius = fixed((x, y), zoom), round(max(1.5 * zoom * np.sqrt(scale), 1.5 * stroke) * 2**SHIFT)
        for ink, thickness in ((SHADOW, stroke + 2), (ring, stroke)):
            cv2.circle(canvas, centre, radius, ink, thickness, cv2.LINE_AA, SHIFT)


def draw_matches(
    image_a: np.ndarray,
    image_b: np.ndarray,
    xy_a: np.ndarray,
    xy_b: np.ndarray,
    inliers: np.ndarray | None = None,
    most: int = 200,
    zoom: int = 1,
    stroke: int | None = None,
    of_others: np.ndarray | None = None,
    background: Colour = BACKGROUND,
) -> np.ndarray:
    """Both pictures side by side, ``zoom`` times larger, with a line for each match.

    xy_a, xy_b: [M, 2]. inliers: bool [M], lines are turquoise where it is set and red elsewhere; None makes all so. Of
    more than ``most`` matches a sample is drawn, always the same one. stroke: width of lines in pixels of the result
    (default: half of zoom). of_others: bool [M], inliers that are violet, of another extractor. background: what is
    between the pictures. Raises ValueError if lengths differ.
    """
    inliers = np.ones(len(xy_a), bool) if inliers is None else np.asarray(inliers, bool)
    if not len(xy_a) == len(xy_b) == len(inliers):
        raise ValueError(f"expected equal numbers, found {len(xy_a)} and {len(xy_b)} positions, {len(inliers)} flags")
    left_of_b = image_a.shape[1] + 8
    height, width = max(len(image_a), len(image_b)), left_of_b + image_b.shape[1]
    canvas = np.full((height * zoom, width * zoom, 3), background, np.uint8)
    for image, left in ((image_a, 0), (image_b, left_of_b)):
        canvas[: len(image) * zoom, left * zoom : (left + image.shape[1]) * zoom] = backdrop(image, zoom)
    drawn = np.sort(np.random.default_rng(0).permutation(len(xy_a))[:most])
    violet = drawn[inliers[drawn] & of_others[drawn]] if of_others is not None else drawn[:0]
    stroke, radius = stroke or max(1, zoom // 2), round(max(1.5 * zoom, 2.2 * (stroke or 0)) * 2**SHIFT)
    for rows, colour, share in (
        (drawn[~inliers[drawn]], OUTLIER, 0.45),
        (np.setdiff1d(drawn[inliers[drawn]], violet), INLIER, 0.9),
        (violet, OTHER_KIND, 0.9),
    ):
        lines = canvas.copy()
        for index in rows:
            start, end = fixed(xy_a[index], zoom), fixed(xy_b[index] + (left_of_b, 0), zoom)
            cv2.line(lines, start, end, colour, stroke, cv2.LINE_AA, SHIFT)
            for centre in (start, end):
                cv2.circle(lines, centre, radius, colour, -1, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(lines, share, canvas, 1 - share, 0, dst=canvas)
    return canvas


def backdrop(image: np.ndarray, zoom: int) -> np.ndarray:
    """The picture, larger, darker and half grey, so that what is drawn on it stands out."""
    if zoom > 1:
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint(0.35 * image + 0.35 * grey).astype(np.uint8)
