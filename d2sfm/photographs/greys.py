"""How much of their 16 bits photographs use: radiometric thermal ones (0.01 K per step) use a hundredth.

At 8 bits they would keep a few greys, in which no features are found.
"""

from pathlib import Path

import numpy as np

from d2sfm.coordinates import Size
from d2sfm.options import GreyRange
from d2sfm.photographs.headers import has_16_bits
from d2sfm.photographs.reading import WHITE, count_greys

PART_OUTSIDE = 0.001  # of the pixels, on either side of what counts as used
NARROW = 0.25  # of the range: who uses less is stretched


def used_range(counts: np.ndarray) -> GreyRange:
    """The values between which all but the darkest and the brightest thousandth lie; counts: of ``count_greys``."""
    below = np.cumsum(counts)
    low, high = np.searchsorted(below, [PART_OUTSIDE * below[-1], (1 - PART_OUTSIDE) * below[-1]])
    return int(low), int(high)


def is_narrow(low: int, high: int) -> bool:
    """Whether a used range is stretched; a single grey value is not."""
    return 0 < high - low < NARROW * (WHITE + 1)


def own_range(path: Path, size: Size | None = None) -> GreyRange | None:
    """The used range of a 16-bit photograph to stretch; None for others. Raises as ``count_greys``."""
    counts = count_greys(path, size) if has_16_bits(path) else None
    if counts is None or not is_narrow(*(found := used_range(counts))):
        return None
    return found
