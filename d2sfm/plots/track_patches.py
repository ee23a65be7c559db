"""What the images of a track see around their keypoints, before and after refinement. Drawn with Matplotlib."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.patches import Rectangle

from d2sfm.plots.captions import shortened
from d2sfm.plots.figure import boxes_for_letters, new_figure, pt, rendered
from d2sfm.plots.palette import DARK, INLIER, RECOVERED, SHADOW, Theme, ink
from d2sfm.text import printable

PATCH_PX, GAP_PX, LETTERS_PX, LINE_PX = 190, 10, 15, 21
IN_A_ROW = 6
NONE = "no keypoint"


class Patch(NamedTuple):
    """A square of a photograph around a keypoint, and where the model sees the point, [2] pixels of the photograph from
    the keypoint, both upright; None where there is none."""

    pixels: np.ndarray  # [PATCH_PX, PATCH_PX, 3] uint8 RGB
    point: np.ndarray | None = None


class Observation(NamedTuple):
    """An image's patches, one for each row of the picture, and lines of text above them; None where it has none."""

    patches: Sequence[Patch | None]
    lines: Sequence[str]


def cut_patch(image: np.ndarray, xy: np.ndarray, side_px: float) -> np.ndarray:
    """A square of a photograph around a position (image frame), enlarged: [PATCH_PX, PATCH_PX, 3] uint8 RGB.

    Beyond the photograph, its edge goes on.
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
    left = LINE_PX + 2 * GAP_PX
    lines = max(len(observation.lines) for observation in observations)
    block = lines * LINE_PX + GAP_PX + len(rows) * (PATCH_PX + GAP_PX) + GAP_PX
    blocks = -(-len(observations) // IN_A_ROW)
    width = left + min(len(observations), IN_A_ROW) * (PATCH_PX + GAP_PX)
    size = width, blocks * block + GAP_PX
    figure = new_figure(size, theme)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    look = {"fontsize": pt(LETTERS_PX), "color": ink(theme.text), "parse_math": False}
    for index, observation in enumerate(observations):
        top, x = GAP_PX + index // IN_A_ROW * block, left + index % IN_A_ROW * (PATCH_PX + GAP_PX)
        with boxes_for_letters():
            for number, line in enumerate(observation.lines):
                text = axes.text(x, top + (number + 0.5) * LINE_PX, printable(line), va="center", **look)
                shortened(text, PATCH_PX)
        top += lines * LINE_PX + GAP_PX / 2
        for name, patch in zip(rows, observation.patches, strict=True):
            if index % IN_A_ROW == 0:
                middle = top + PATCH_PX / 2
                axes.text(GAP_PX + LINE_PX / 2, middle, name, rotation=90, ha="center", va="center", **look)
            if patch is None:
                axes.add_patch(Rectangle((x, top), PATCH_PX, PATCH_PX, fill=False, ec=ink(theme.grid)))
                axes.text(x + PATCH_PX / 2, top + PATCH_PX / 2, NONE, ha="center", va="center", **look)
            else:
                axes.imshow(_marked(patch, side_px), extent=(x, x + PATCH_PX, top + PATCH_PX, top))
            top += PATCH_PX + GAP_PX
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    return rendered(figure)


def _marked(patch: Patch, side_px: float) -> np.ndarray:
    canvas, middle = patch.pixels.copy(), PATCH_PX / 2
    gap, end, shift = 7, 26, 4

    def at(*xy: float) -> tuple[int, int]:
        return tuple(round((value - 0.5) * 2**shift) for value in xy)

    for colour, width in ((SHADOW, 4), (RECOVERED, 2)):
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ends = (at(middle + x * length, middle + y * length) for length in (gap, end))
            cv2.line(canvas, *ends, colour, width, cv2.LINE_AA, shift)
    if patch.point is not None:
        centre = at(*(middle + patch.point * PATCH_PX / side_px))
        for colour, width in ((SHADOW, 4), (INLIER, 2)):
            cv2.circle(canvas, centre, 5 << shift, colour, width, cv2.LINE_AA, shift)
    return canvas
