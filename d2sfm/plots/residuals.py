"""Keypoints that see points of a model, and how far off the points are. Drawn with OpenCV."""

import cv2
import numpy as np

from d2sfm.plots.canvas import SHIFT, fixed, sequence
from d2sfm.plots.keypoints import backdrop
from d2sfm.plots.palette import SHADOW, UNUSED

TYPICAL_SHARE = 1 / 40  # of the width, that the arrow of a large residual is long
LARGE = 0.9  # quantile
HEAD_PX = 5  # of an arrow, for a line of one pixel


def arrow_scale(residuals: np.ndarray, width: int) -> float:
    """How many times too long arrows are drawn so that they can be seen: 1, 2 or 5 times a power of ten.

    residuals: [M, 2] in pixels of a picture of that width.
    """
    lengths = np.linalg.norm(residuals, axis=1)
    large = float(np.quantile(lengths, LARGE)) if len(lengths) else 0.0
    wanted = max(width * TYPICAL_SHARE / large, 1.0) if large > 0 else 1.0
    power = 10.0 ** np.floor(np.log10(wanted))
    return max(step * power for step in (1, 2, 5) if step * power <= wanted)


def draw_residuals(
    image: np.ndarray, observed: np.ndarray, residuals: np.ndarray, others: np.ndarray, scale: float, largest: float
) -> np.ndarray:
    """The picture, a little dimmed, with an arrow from each observed keypoint towards where the model sees its point.

    observed, residuals: [M, 2] pixels of the picture; arrows are ``scale`` times as long as residuals, those of length
    ``largest`` yellow, of length 0 violet. others: [K, 2], keypoints that see no point, as faint dots.
    """
    canvas, stroke = backdrop(image, 1), max(1, round(image.shape[1] / 900))
    for xy in others:
        cv2.circle(canvas, fixed(xy), round(0.8 * stroke * 2**SHIFT), UNUSED, -1, cv2.LINE_AA, SHIFT)
    lengths = np.linalg.norm(residuals, axis=1)
    colours = sequence(lengths / max(largest, np.finfo(float).tiny)).tolist()
    # Cut behind the picture: OpenCV counts pixels in 32 bits, and a point beside the camera is seen anywhere.
    scales = np.minimum(scale, 2 * np.hypot(*image.shape[:2]) / np.maximum(lengths, np.finfo(float).tiny))
    for index in np.argsort(lengths, kind="stable"):  # the worst come last, and are seen
        start, end = fixed(observed[index]), fixed(observed[index] + scales[index] * residuals[index])
        length = scales[index] * lengths[index]
        tip = HEAD_PX * stroke / length if length > 2 * HEAD_PX * stroke else 0.0  # a short one would be nothing else
        for ink, extra in ((SHADOW, 2), (colours[index], 0)):
            cv2.circle(canvas, start, round((1.2 * stroke + extra / 2) * 2**SHIFT), ink, -1, cv2.LINE_AA, SHIFT)
            cv2.arrowedLine(canvas, start, end, ink, stroke + extra, cv2.LINE_AA, SHIFT, tip)
    return canvas
