"""What the images of a track see around their keypoints, before and after refinement."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from d2sfm.plots.lettering import Text, shortened, write
from d2sfm.plots.palette import DARK, INLIER, RECOVERED, SHADOW, Theme

PATCH_PX, GAP_PX, LETTERS_PX, LINE_PX = 190, 10, 15, 21
IN_A_ROW = 6
NONE = "no keypoint"


class Patch(NamedTuple):
    """A square of a photograph around a keypoint, and where the model sees the point, [2] pixels of the photograph from
    the keypoint, both upright; None if there is none."""

    pixels: np.ndarray  # [PATCH_PX, PATCH_PX, 3] uint8 RGB
    point: np.ndarray | None = None


class Observation(NamedTuple):
    """An image's patches, one for each row of the picture, and lines of text above them; None if it has none."""

    patches: Sequence[Patch | None]
    lines: Sequence[str]


def cut_patch(image: np.ndarray, xy: np.ndarray, side_px: float) -> np.ndarray:
    """A square of a photograph around a position (image frame), enlarged: [PATCH_PX, PATCH_PX, 3] uint8 RGB.

    Beyond the photograph, its edge is repeated.
    """
    zoom = PATCH_PX / side_px
    to_patch = np.array([[zoom, 0, PATCH_PX / 2 - zoom * xy[0]], [0, zoom, PATCH_PX / 2 - zoom * xy[1]]])
    to_patch[:, 2] += 0.5 * zoom - 0.5  # OpenCV counts from pixel centres
    return cv2.warpAffine(image, to_patch, (PATCH_PX,) * 2, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def draw_track(
    observations: Sequence[Observation], rows: Sequence[str], side_px: float, theme: Theme = DARK
) -> np.ndarray:
    """Patches of all images beside each other, a row for each name in ``rows``, again below where there are many.

    A cross marks the keypoint, a ring the point of the model. side_px: of the patches, in pixels of the photographs.
    Returns [H, W, 3] uint8 RGB.
    """
    left, lines = LINE_PX + 2 * GAP_PX, max(len(observation.lines) for observation in observations)
    block = lines * LINE_PX + GAP_PX + len(rows) * (PATCH_PX + GAP_PX) + GAP_PX
    width = left + min(len(observations), IN_A_ROW) * (PATCH_PX + GAP_PX)
    blocks, texts = [], []
    for first in range(0, len(observations), IN_A_ROW):
        canvas, y = np.full((block, width, 3), theme.background, np.uint8), len(blocks) * block
        for number, name in enumerate(rows):
            top = _top(number, lines)
            canvas[top : top + PATCH_PX, GAP_PX : GAP_PX + LINE_PX] = _upwards(name, theme)
        for x, observation in zip(range(left, width, PATCH_PX + GAP_PX), observations[first:], strict=False):
            for number, line in enumerate(observation.lines):
                short = shortened(line, LETTERS_PX, PATCH_PX)
                texts.append(Text(x, y + GAP_PX + (number + 0.5) * LINE_PX, short, LETTERS_PX, theme.text))
            for number, patch in enumerate(observation.patches):
                top = _top(number, lines)
                square = slice(top, top + PATCH_PX), slice(x, x + PATCH_PX)
                canvas[square] = theme.grid if patch is None else _marked(patch, side_px)
                if patch is None:
                    texts.append(Text(x + PATCH_PX / 2, y + top + PATCH_PX / 2, NONE, LETTERS_PX, theme.text, "m"))
        blocks.append(canvas)
    return write(np.concatenate(blocks), texts)


def _top(row: int, lines: int) -> int:
    """Of a row of patches below a number of lines of text."""
    return GAP_PX + lines * LINE_PX + GAP_PX // 2 + row * (PATCH_PX + GAP_PX)


def _upwards(text: str, theme: Theme) -> np.ndarray:
    """A line of text that is read from below, [PATCH_PX, LINE_PX, 3]."""
    canvas = np.full((LINE_PX, PATCH_PX, 3), theme.background, np.uint8)
    return np.rot90(write(canvas, [Text(PATCH_PX / 2, LINE_PX / 2, text, LETTERS_PX, theme.text, "m")]))


def _marked(patch: Patch, side_px: float) -> np.ndarray:
    canvas, middle = patch.pixels.copy(), PATCH_PX / 2
    gap, end, shift = 7, 26, 4

    def at(*xy: float) -> tuple[int, int]:
        return tuple(round((value - 0.5) * 2**shift) for value in xy)

    for colour, width in ((SHADOW, 4), (RECOVERED, 2)):
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ends = (at(middle + x * length, middle + y * length) for length in (gap, end))
            cv2.line(canvas, *ends, colour, width, cv2.LINE_AA, shift)
    if patch.point is not None and np.abs(patch.point).max() < side_px:  # beyond, nothing of it is in the patch
        centre = at(*(middle + patch.point * PATCH_PX / side_px))
        for colour, width in ((SHADOW, 4), (INLIER, 2)):
            cv2.circle(canvas, centre, 5 << shift, colour, width, cv2.LINE_AA, shift)
    return canvas
