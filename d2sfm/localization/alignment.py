"""Alignment of a query's keypoints with those of the map that see the same points."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from d2sfm.localization.correspondences import Correspondences
from d2sfm.localization.loaded_map import LoadedMap, as_keypoints
from d2sfm.localization.query import Query
from d2sfm.lru import LruCache
from d2sfm.network.early_maps import FeatureMaps
from d2sfm.options import ExtractionOptions, MapCacheOptions, RefinementOptions
from d2sfm.refinement.adjustment import Adjustment
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.grey import GreyAdjustment, photograph_warps
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.map_source import MapSource, read_upright
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.tracks import Edges, Tracks
from d2sfm.refinement.warps import local_warps

GREY_BYTES = 512 << 20  # of photographs that were looked at last


class _Keypoints:
    """The images of a map as a collection of refinement has them, by name."""

    def __init__(self, loaded: LoadedMap):
        self._loaded, self.images = loaded, self

    def __getitem__(self, name: str) -> ImageKeypoints:
        return self._loaded[name].keypoints


class Aligner:
    """Reads a map's photographs for any number of queries.

    folder: of the photographs; features: how their features were made; cache: where their early maps are kept, see
    ``MapSource``; without a folder, the last 2 GB in memory.
    """

    def __init__(self, loaded: LoadedMap, folder: Path, features: ExtractionOptions, cache: MapCacheOptions):
        images = _Keypoints(loaded)
        self._loaded = loaded
        self._maps = MapSource(images, folder, RefinementOptions.of_features(features), cache)
        self._levels = LruCache(lambda name: GreyLevels(read_upright(folder, images[name])), GREY_BYTES)

    def aligned(self, query: Query, found: Correspondences, names: Sequence[str]) -> np.ndarray:
        """Where the points of correspondences lie in the query, [N, 2] in pixels of it as it is stored.

        names: of the candidates. Each keypoint of the query is aligned with each matched keypoint of the map, which
        stays fixed. Raises ValueError if a photograph of the map can't be read.
        """
        order = np.argsort(found.image, kind="stable")
        xy = np.empty((len(found), 2))
        xy[order] = self._in_order(query, found[order], names)
        return xy

    def _in_order(self, query: Query, found: Correspondences, names: Sequence[str]) -> np.ndarray:
        used, begin = np.unique(found.image, return_index=True)
        images = [
            _some(self._loaded[names[number]].keypoints, rows)
            for number, rows in zip(used.tolist(), np.split(found.place, begin[1:]), strict=True)
        ]
        of_query = as_keypoints(0, "", query.features, found.keypoint)
        places = np.split(of_query.xy, begin[1:])
        warps = np.concatenate([local_warps(image.xy, xy) for image, xy in zip(images, places, strict=True)])
        count = len(found)
        nodes = np.arange(count)
        edges = Edges(nodes, nodes + count, np.ones(count))
        collection = Collection(images=[*images, of_query], edges=edges, warps=warps)
        tracks = Tracks(of_node=np.tile(nodes, 2), reference=nodes)

        def maps_of(number: int) -> FeatureMaps:
            return query.maps if number == len(images) else self._maps(images[number].name)

        def levels_of(number: int) -> GreyLevels:
            return GreyLevels(query.picture) if number == len(images) else self._levels[images[number].name]

        work, moved = schedule(collection, tracks), collection.xy.copy()
        by_features = Adjustment(collection, tracks, maps_of, work.slots)
        for part in work.parts:
            moved[part.nodes] = by_features.move(part)
        given = collection, tracks, moved.copy(), photograph_warps(collection, tracks), levels_of
        by_grey_values = GreyAdjustment(*given, work.nodes, work.slots)
        for part in work.parts:
            moved[part.nodes] = by_grey_values.move(part)[:, :2]
        return of_query.in_image(moved[count:])


def _some(image: ImageKeypoints, rows: np.ndarray) -> ImageKeypoints:
    return replace(image, xy=image.xy[rows], scale=image.scale[rows])
