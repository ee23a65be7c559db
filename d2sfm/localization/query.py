"""A photograph that is to be placed: its features, and what its alignment with the map looks at."""

from pathlib import Path

import numpy as np

from d2sfm.coordinates import resize_factor, upright_array
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import stretch_of
from d2sfm.network.early_maps import feature_maps
from d2sfm.options import Orientation, Stretch
from d2sfm.photographs.greys import own_range
from d2sfm.photographs.headers import has_16_bits, read_header
from d2sfm.photographs.masks import joined
from d2sfm.photographs.reading import load_with_alpha
from d2sfm.refinement.refine_matches import Seen


class Query(Seen):
    """What is seen of a photograph that is to be placed."""

    @property
    def factor(self) -> float:
        """Pixels of the picture for one of the network's input."""
        return resize_factor(self.features.input_size, self.features.image_size)


def read_query(
    extractor: Extractor, image: np.ndarray | Path, fingerprint: str, mask: np.ndarray | None = None
) -> Query:
    """A photograph of that path, or a picture, uint8 [H, W, 3] RGB, that is upright as it is.

    fingerprint: of the map's features, which tells how pictures of 16 bits are stretched. mask: bool [H, W], what is
    in. Raises as ``Extractor.extract``.
    """
    orientation, greys, pixels = 1, None, image
    if not isinstance(image, np.ndarray):
        if extractor.options.orientation is not Orientation.NONE:
            orientation = read_header(image)[1]
        stretch = stretch_of(fingerprint)
        if stretch is Stretch.IMAGE:
            greys = own_range(image)
        elif isinstance(stretch, tuple) and has_16_bits(image):
            greys = stretch
        pixels, seen = load_with_alpha(image, None, greys)
        mask = joined(seen, mask)
    prepared, maps = extractor.prepare(pixels, mask, orientation, greys), []
    [features] = extractor.extract_batch([prepared], lambda _, found: maps.append(found))
    if not maps:  # of features at other scales
        maps.append(feature_maps(prepared.pixels, extractor.trunk, extractor.options.preprocessing, extractor.device))
    return Query(features=features, maps=maps[0], picture=upright_array(pixels, orientation))
