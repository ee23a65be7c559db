"""The colours of all pictures and pages, in one place. Two that stand for different things in a picture can be told
apart by people of any colour vision, as the tests compute."""

from typing import NamedTuple

Colour = tuple[int, int, int]  # RGB, 0 to 255


class Theme(NamedTuple):
    """What is around photographs and behind curves."""

    background: Colour
    text: Colour
    grid: Colour  # lines, and cells of a matrix that hold nothing


class PageTheme(NamedTuple):
    """The page of a report, by the names of its style's variables."""

    bg: Colour
    panel: Colour
    ink: Colour
    quiet: Colour  # text beside the main one
    line: Colour
    stage: Colour  # behind the 3D view
    accent: Colour
    warm: Colour  # what to look at
    good: Colour
    mark: Colour  # behind rows that are chosen


DARK = Theme(background=(19, 23, 30), text=(222, 226, 232), grid=(42, 49, 60))
LIGHT = Theme(background=(255, 255, 255), text=(32, 36, 44), grid=(222, 226, 232))

DARK_PAGE = PageTheme(
    bg=(17, 20, 26),
    panel=(25, 30, 38),
    ink=(228, 232, 238),
    quiet=(156, 166, 181),
    line=(45, 53, 64),
    stage=(12, 15, 20),
    accent=(92, 184, 245),
    warm=(255, 176, 87),
    good=(66, 207, 160),
    mark=(58, 49, 24),
)
LIGHT_PAGE = PageTheme(
    bg=(246, 246, 243),
    panel=(255, 255, 255),
    ink=(27, 32, 40),
    quiet=(90, 99, 113),
    line=(223, 226, 231),
    stage=(236, 238, 241),
    accent=(9, 105, 168),
    warm=(181, 74, 0),
    good=(0, 115, 90),
    mark=(255, 243, 214),
)

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


def style_variables(theme: Theme | PageTheme) -> str:
    """The colours as declarations of a style sheet, each by its name."""
    return "; ".join(f"--{name}: {ink(colour)}" for name, colour in theme._asdict().items())
