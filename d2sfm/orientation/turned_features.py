"""Features of a small picture in its four quarter turns: the network is not invariant to rotation."""

from dataclasses import dataclass, replace

import numpy as np

from d2sfm.coordinates import upright_array
from d2sfm.features.extractor import Extractor
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.network.input import resize
from d2sfm.network.trunk import MIN_EDGE_PX
from d2sfm.options import Convention, DescriptorDtype, ExtractionOptions

TURNS = (1, 6, 3, 8)  # EXIF's orientations whose upright pictures are turned clockwise by 0, 1, 2 and 3 quarters
EDGE_PX = 256  # of the network's input: four turns cost a tenth of a photograph of 1600 px (benchmarks/orientation.py)


@dataclass(frozen=True)
class TurnedFeatures:
    """Keypoints of a picture that was turned by some quarters, highest score first.

    xy: [N, 2] float32, pixels of the small picture as it was turned, COLMAP's frame; descriptors: [N, 512] float16,
    unit length.
    """

    xy: np.ndarray
    descriptors: np.ndarray


NOTHING = TurnedFeatures(np.zeros((0, 2), np.float32), np.zeros((0, DESCRIPTOR_SIZE), np.float16))


def small_extractor(options: ExtractionOptions, edge: int = EDGE_PX) -> Extractor:
    """The network for small pictures: weights, arithmetic and device are those of the options.

    Raises ValueError or FileNotFoundError for weights or a device that are not available.
    """
    return Extractor(
        replace(
            options,
            scales=(1.0,),
            max_edge=edge,
            max_sum_edges=0,
            max_keypoints=None,
            border=0,
            convention=Convention.COLMAP,
            tile_size=edge,  # at once: strips of so few rows cost a tenth more
        ),
        DescriptorDtype.FLOAT16,
    )


def features_in_turns(extractor: Extractor, picture: np.ndarray | None) -> list[TurnedFeatures]:
    """Features of a picture, uint8 [H, W, 3] RGB of any size, turned clockwise by 0, 1, 2 and 3 quarters.

    There are none without a picture, or if an edge is below 8 px at the small size.
    Raises ValueError for another shape or dtype.
    """
    if picture is None:
        return [NOTHING] * len(TURNS)
    small = resize(picture, extractor.input_size((picture.shape[1], picture.shape[0])))
    if min(small.shape[:2]) < MIN_EDGE_PX:
        return [NOTHING] * len(TURNS)
    turned = [extractor.prepare(upright_array(small, orientation)) for orientation in TURNS]
    found = [None] * len(turned)
    for first in (0, 1):  # those of one size pass through the network together
        found[first::2] = extractor.extract_batch(turned[first::2])
    return [TurnedFeatures(one.keypoints[:, :2].copy(), one.descriptors) for one in found]
