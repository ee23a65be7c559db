"""The colours of all pictures and pages, in one place. Two that stand for different things in a picture can be told
apart by people of any colour vision, as the tests compute."""

from typing import NamedTuple

Colour = tuple[int, int, int]  # RGB, 0 to 255


class Theme(NamedTuple):
    """What is around photographs and behind curves."""

    background: Colour
    text: Colour
    grid: Colour  # lines, and cells of a matrix that hold nothing


DARK = Theme(background=(19, 23, 30), text=(222, 226, 232), grid=(42, 49, 60))
LIGHT = Theme(background=(255, 255, 255), text=(32, 36, 44), grid=(222, 226, 232))

BACKGROUND, TEXT, GRID = DARK
INLIER, OUTLIER = (64, 224, 196), (240, 92, 48)
RECOVERED, TRUE = (255, 176, 66), (72, 196, 255)
BY_NIGHT = (150, 70, 255)  # recovered cameras whose pictures were taken at night
OTHER_KIND = (176, 146, 255)  # keypoints and inliers of another extractor than D2-Net
FAINT = (118, 104, 84)
UNUSED = (176, 180, 188)  # keypoints that nothing came of
SHADOW = (14, 14, 20)  # around what is drawn on photographs


def ink(colour: Colour) -> str:
    """The colour as Matplotlib and web pages name it."""
    return f"#{bytes(colour).hex()}"
