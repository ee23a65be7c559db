"""Which photographs get D2 features, and which of their pairs are matched."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from d2sfm.bridge.apart import among_both
from d2sfm.bridge.work import begin_small
from d2sfm.database import MatchStore
from d2sfm.options import BridgeOptions, ExtractionOptions, PairSelectionOptions
from d2sfm.pairs.arrays import exhaustive, union
from d2sfm.pairs.pair_files import read_pairs
from d2sfm.pairs.retrieval import retrieval
from d2sfm.pairs.select import select_pairs
from d2sfm.pairs.vlad import global_descriptors
from d2sfm.text import first_of

SMALL_EDGE = 512  # of photographs whose features only tell which look alike: a tenth of the time

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of a database whose photographs exist.

    ids: [N] ascending; names: by id, of all; apart: [A] of the ids; verified: pairs that the extractor's keypoints have
    verified, [P, 2].
    """

    ids: np.ndarray
    names: dict[int, str]
    apart: np.ndarray
    verified: np.ndarray


# Extracts features of the images of these ids into a layer; returns the ids of those that have some then.
Extract = Callable[[Path, Images, np.ndarray, ExtractionOptions], np.ndarray]


def choose_pairs(
    database: Path, layer: Path, images: Images, options: BridgeOptions, features: ExtractionOptions, extract: Extract
) -> np.ndarray:
    """The pairs to match by D2 features, [P, 2] uint32; extracts the features of their images into the layer.

    Verified pairs of their images are added to the requested pairs: D2 keypoints of images that are apart see no points
    unless the other images share some.
    Raises as ``read_pairs`` and ``extract``.
    """
    if options.all_:
        extract(layer, images, images.ids, features)
        with MatchStore(layer) as store:
            asked = select_pairs(store, PairSelectionOptions(num_neighbours=options.num_neighbours))
    elif options.pairs:
        asked = named_pairs(images, options.pairs)
    else:
        asked = _of_apart(database, images, options, features, extract)
    asked = union(asked, among_both(images.verified, np.unique(asked)))
    return among_both(asked, extract(layer, images, np.unique(asked), features))


def named_pairs(images: Images, path: Path) -> np.ndarray:
    """The pairs of a file, [P, 2] uint32. Raises as ``read_pairs``, and RuntimeError if it names none."""
    pairs = read_pairs(path, {name: image_id for image_id, name in images.names.items()})
    if not len(pairs):
        raise RuntimeError(f"{path} names no pair of images")
    return among_both(pairs, images.ids)


def _of_apart(
    database: Path, images: Images, options: BridgeOptions, features: ExtractionOptions, extract: Extract
) -> np.ndarray:
    """Pairs of each image that is apart with the most similar images, or with all where there are few."""
    names = [images.names[image_id] for image_id in images.apart.tolist()]
    logger.info("apart: %s of %d", first_of(names, "image"), len(images.ids))
    if len(images.ids) <= options.num_neighbours + 1:
        pairs = exhaustive(images.ids)
        return pairs[np.isin(pairs, images.apart).any(axis=1)]
    logger.info("features of all %d photographs at %d px tell which look alike", len(images.ids), SMALL_EDGE)
    small = begin_small(database)
    edge = min(features.max_edge or SMALL_EDGE, SMALL_EDGE)
    ids = extract(small, images, images.ids, replace(features, max_edge=edge, scales=(1.0,)))
    with MatchStore(small) as store:
        found = global_descriptors(store, ids.tolist())
    return retrieval(ids, found, options.num_neighbours, queries=np.isin(ids, images.apart))
