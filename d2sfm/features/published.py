"""Features of the published code's frame brought into COLMAP's."""

import json
from dataclasses import replace

import numpy as np

from d2sfm.coordinates import image_from_input, input_from_published_input, resize_factor
from d2sfm.features.fingerprints import settings_of
from d2sfm.features.pyramid import level_sizes
from d2sfm.features.record import Features
from d2sfm.options import Convention


def in_colmap_frame(features: Features) -> Features:
    """The features with keypoints at the centres of their cells, and scales in pixels of the photograph; others
    unchanged.

    The scale of a keypoint gives its level, and thus the exact cell. Descriptors stay: at one scale they are those of
    d2sfm; at several, the published code reads coarser levels some pixels aside.
    """
    if features.convention is Convention.COLMAP:
        return features
    size, full = features.input_size, np.asarray(features.image_size, np.float64)
    keypoints = features.keypoints.astype(np.float64)
    in_published_input = keypoints[:, :2] * (size / full)
    levels = level_sizes(size, features.scales) or [(1.0, size)]
    scales = np.array([scale for scale, _ in levels])
    with np.errstate(divide="ignore"):
        of_level = np.abs(np.log(1 / keypoints[:, 2:3]) - np.log(scales)).argmin(axis=1)
    factor = resize_factor(size, features.image_size)
    for index, (scale, level_size) in enumerate(levels):
        here = of_level == index
        in_input = input_from_published_input(in_published_input[here], level_size, size)
        keypoints[here, :2] = image_from_input(in_input, size, features.image_size, Convention.COLMAP)
        keypoints[here, 2] = factor / scale
    return replace(features, keypoints=keypoints.astype(np.float32), convention=Convention.COLMAP)


def colmap_fingerprint(fingerprint: str) -> str:
    """The fingerprint of features after ``in_colmap_frame``: they differ from those that were never moved.

    ValueError if it is no fingerprint.
    """
    settings = settings_of(fingerprint)
    moved = {"convention": "colmap, moved from reference"} if settings.get("convention") == "reference" else {}
    return json.dumps(settings | moved)
