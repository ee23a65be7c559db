"""Which pixels of a picture are seen, by its alpha channel or by the colours that it declares transparent."""

import numpy as np
from PIL import Image

_WITH_ALPHA = {"RGBA", "LA", "PA"}  # Pillow's modes
_STEPS = {"L;2": 85, "L;4": 17}  # by Pillow's raw mode: what it makes of one step of grey


def seen_pixels(
    picture: Image.Image, deep: np.ndarray | None, transparency: int | tuple | bytes | None, raw_mode: str
) -> np.ndarray | None:
    """Where alpha is above 0, [H, W] bool; None if it is everywhere, or nowhere: then it says nothing.

    deep: colours of 16 bits, [H, W, 3], if the picture has only their high bytes; transparency: the transparent colours
    that Pillow found in the file: a grey, a colour, a place in the palette, or alpha by place; raw_mode: Pillow's, of
    the file.
    """
    if picture.mode in _WITH_ALPHA:
        if picture.getchannel("A").getextrema()[0]:
            return None
        seen = np.asarray(picture.getchannel("A")) != 0
    elif transparency is None:
        return None
    elif isinstance(transparency, bytes):
        alpha = np.full(256, 255, np.uint8)
        told = np.frombuffer(transparency, np.uint8)[: len(alpha)]
        alpha[: len(told)] = told
        seen = alpha[np.asarray(picture)] != 0
    elif isinstance(transparency, tuple):
        colours = np.asarray(picture) if deep is None else deep
        seen = (colours != transparency).any(axis=2)
    else:  # of one bit Pillow makes False and True, and 1 or 255 of the grey, by its version
        grey = transparency > 0 if picture.mode == "1" else transparency * _STEPS.get(raw_mode, 1)
        seen = np.asarray(picture) != grey
    return seen if seen.any() and not seen.all() else None
