"""Feature maps of the images of a collection, computed when they are asked for."""

from pathlib import Path
from weakref import WeakMethod

import numpy as np

from d2sfm.coordinates import upright_array
from d2sfm.lru import LruCache
from d2sfm.network.device import resolve_device, resolve_precision
from d2sfm.network.early_maps import FeatureMaps, feature_maps
from d2sfm.network.input import resize
from d2sfm.network.map_cache import MapCache
from d2sfm.network.trunk import Trunk
from d2sfm.network.weights.load import load_weights
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.photographs.reading import load_photograph
from d2sfm.refinement.collection import Collection, ImageKeypoints


class MapSource:
    """Feature maps of the images of a collection, by their number.

    Those asked for last stay in memory, or all in the cache's folder, within its limit.
    """

    def __init__(self, collection: Collection, folder: Path, options: RefinementOptions, cache: MapCacheOptions):
        self._collection, self._folder, self._options = collection, folder, options
        self._device = resolve_device(options.device)
        weights = load_weights(options.weights, options.preprocessing, options.mirror)
        dtype = resolve_precision(options.precision, self._device)
        self._trunk = Trunk(weights).to(self._device, dtype)
        kept = cache.cache, cache.limit_bytes
        self._kept = MapCache(*kept, weights, dtype, options.preprocessing) if cache.cache else None
        load = WeakMethod(self._load)  # a ring of references would hold gigabytes until the garbage collector comes by
        self._held = LruCache(lambda number: load()(number), 0 if cache.cache else int(cache.limit_bytes))

    def __call__(self, number: int) -> FeatureMaps:
        """Raises ValueError if the photograph can't be read or has another size than at extraction."""
        return self._held[number]

    def _load(self, number: int) -> FeatureMaps:
        image = self._collection.images[number]
        photograph, seen_as = self._folder / image.name, (image.orientation, image.grey_range)
        if self._kept is None:
            return self._compute(image)
        maps = self._kept.get(photograph, image.input_size, *seen_as)
        if maps is None:
            maps = self._compute(image)
            self._kept.put(photograph, image.input_size, maps, *seen_as)
        return FeatureMaps(*(each.to(self._device) for each in maps))

    def _compute(self, image: ImageKeypoints) -> FeatureMaps:
        picture = resize(read_upright(self._folder, image), image.input_size)
        return feature_maps(picture, self._trunk, self._options.preprocessing, self._device)


def read_upright(folder: Path, image: ImageKeypoints) -> np.ndarray:
    """The photograph of an image as features see it, upright: uint8 [H, W, 3] RGB.

    Raises ValueError that names it where it can't be read or has another size than at extraction.
    """
    path = folder / image.name
    try:
        return upright_array(load_photograph(path, image.image_size, image.grey_range), image.orientation)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
