"""A photograph to be placed: its features, and the pixels for its alignment with the map."""

from pathlib import Path

import numpy as np

from d2sfm.coordinates import resize_factor, upright_array
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import stretch_of
from d2sfm.network.early_maps import feature_maps
from d2sfm.options import GreyRange, Stretch
from d2sfm.photographs.greys import own_range
from d2sfm.photographs.headers import has_16_bits
from d2sfm.refinement.refine_matches import Seen


class Query(Seen):
    """Features and pixels of a photograph to be placed."""

    @property
    def factor(self) -> float:
        """Pixels of the picture for one of the network's input."""
        return resize_factor(self.features.input_size, self.features.image_size)


def read_query(
    extractor: Extractor, image: np.ndarray | Path, fingerprint: str, mask: np.ndarray | None = None
) -> Query:
    """A photograph of that path, or an upright picture, uint8 [H, W, 3] RGB.

    fingerprint: of the map's features, which tells how 16-bit pictures are stretched. mask: bool [H, W], the pixels to
    use. Raises as ``Extractor.extract``.
    """
    if isinstance(image, np.ndarray):
        prepared, pixels = extractor.prepare(image, mask), image
    else:
        prepared, pixels = extractor.read(image, mask, _grey_range(image, stretch_of(fingerprint)))
    maps = []
    [features] = extractor.extract_batch([prepared], lambda _, found: maps.append(found))
    if not maps:  # of features at other scales
        maps.append(feature_maps(prepared.pixels, extractor.trunk, extractor.options.preprocessing, extractor.device))
    return Query(features=features, maps=maps[0], picture=upright_array(pixels, prepared.orientation))


def _grey_range(path: Path, stretch: Stretch | GreyRange) -> GreyRange | None:
    if stretch is Stretch.IMAGE:
        return own_range(path)
    return stretch if isinstance(stretch, tuple) and has_16_bits(path) else None
