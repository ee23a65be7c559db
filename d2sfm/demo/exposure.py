"""The camera at night: textures hold linear light in 8 bits; pictures get exposure, glare, blur and noise."""

import cv2
import numpy as np

GAMMA = 2.2
HEADROOM = 4.0  # the brightest that a texture holds, where 1 is what a picture shows as white
WHITE_ELECTRONS, READ_ELECTRONS = 3000.0, 8.0  # of a pixel: at white, and the deviation of the readout's noise
GLARE_SHARE, GLARE_WIDTH = 0.3, 0.02  # of what is brighter than white: scattered light, and how far, in widths
LINEAR = (np.arange(256, dtype=np.float32) / 255) ** np.float32(GAMMA)
BLUR_PX = 0.6  # of a wide aperture held open long


def linear(colours: np.ndarray) -> np.ndarray:
    """Linear values 0..1, float32, of colours uint8 as pictures show them."""
    return LINEAR[colours]


def encoded(light: np.ndarray) -> np.ndarray:
    """Linear light as the textures of a scene by night hold it: 0..255, not rounded."""
    return 255 * (np.clip(light, 0, HEADROOM) / HEADROOM) ** (1 / GAMMA)


def photograph_by_night(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A picture as a camera delivers it at night.

    Exposure is off by some 15 per cent; lamps scatter in the lens; electrons are counted, with the noise of their
    number and of the readout, in each channel by itself. image: [H, W, 3] uint8 of ``encoded`` light. Returns the
    picture, the same shape and type.
    """
    light = HEADROOM * linear(image) * np.float32(np.exp(0.15 * generator.standard_normal()))
    glare = cv2.GaussianBlur(np.maximum(light - 1, 0), (0, 0), GLARE_WIDTH * image.shape[1])
    light = cv2.GaussianBlur(light + GLARE_SHARE * glare, (0, 0), BLUR_PX)
    electrons = generator.poisson(WHITE_ELECTRONS * light.astype(np.float64))
    electrons = electrons + READ_ELECTRONS * generator.standard_normal(image.shape)
    return np.rint(255 * (electrons / WHITE_ELECTRONS).clip(0, 1) ** (1 / GAMMA)).astype(np.uint8)
