"""The pairs that the options ask for, of the images of a database or of a folder of shards."""

import logging
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import numpy as np

from d2sfm.colmap import posed_images, read_model
from d2sfm.formats.hloc_global import read_global_descriptors
from d2sfm.options import EXHAUSTIVE_LIMIT, PairKind, PairSelectionOptions
from d2sfm.pairs.arrays import exhaustive, union
from d2sfm.pairs.from_model import by_poses, covisible
from d2sfm.pairs.images import GlobalDescriptors, PairImages
from d2sfm.pairs.pair_files import read_pairs
from d2sfm.pairs.retrieval import retrieval
from d2sfm.pairs.sequential import loop_candidates, sequential
from d2sfm.pairs.spatial import positions_m, spatial
from d2sfm.pairs.vlad import global_descriptors
from d2sfm.text import counted, first_of, natural_order

logger = logging.getLogger(__name__)


def select_pairs(
    store: PairImages, options: PairSelectionOptions, describe: GlobalDescriptors = global_descriptors
) -> np.ndarray:
    """Pairs of images that have features, as the options choose them, [P, 2] uint32, each once, smaller id first.

    describe: makes global descriptors where the options name no file of these.
    Images without features are left out with a warning. Raises FileNotFoundError for a missing file or model,
    ValueError for a bad pairs file or file of global descriptors, and RuntimeError if the database has fewer than
    two images with features, or nothing of what the kind of pairs goes by, or no pair is chosen.
    """
    names = store.image_names()
    if len(names) < 2:
        raise RuntimeError(
            f"{store.path} has {counted(len(names), 'image')}, matching needs 2 or more: run d2sfm extract first"
        )
    if options.kind is None:
        return _named_in(options.pairs, store, names)
    image_ids = _with_features(store, names)
    pairs, images = _Selection(store, image_ids, options, describe).of_kind(options.kind), len(image_ids)
    if not len(pairs):
        raise RuntimeError(f"--pairs {options.pairs} chooses no pair of the {images} images: loosen its limits")
    every = counted(images * (images - 1) // 2, "pair")
    logger.info("%d of the %s of %d images (%s)", len(pairs), every, images, options.pairs)
    alone = np.setdiff1d(image_ids, pairs)
    if len(alone):
        logger.warning("in no pair: %s", first_of([names[image_id] for image_id in alone.tolist()], "image"))
    return pairs


def _named_in(path: str, store: PairImages, names: Mapping[int, str]) -> np.ndarray:
    """The pairs of a file whose images both have features."""
    pairs = read_pairs(path, {name: image_id for image_id, name in names.items()})
    if not len(pairs):
        raise RuntimeError(f"{path} names no pair of images")
    pairs = pairs[np.isin(pairs, _with_features(store, np.unique(pairs).tolist())).all(axis=1)]
    if not len(pairs):
        raise RuntimeError(f"{path} names no pair whose two images both have features")
    return pairs


class _Selection:
    """Pairs of some images, by each way to choose them."""

    def __init__(
        self, store: PairImages, image_ids: np.ndarray, options: PairSelectionOptions, describe: GlobalDescriptors
    ):
        self.image_ids = image_ids  # [N] uint32, ascending
        self._store, self._options, self._describe = store, options, describe
        names = store.image_names()
        self._names = [names[image_id] for image_id in image_ids.tolist()]

    def of_kind(self, kind: PairKind) -> np.ndarray:
        """The pairs of one kind."""
        return getattr(self, f"_{kind}")()

    def _auto(self) -> np.ndarray:
        few = len(self.image_ids) <= EXHAUSTIVE_LIMIT
        kind, than = (PairKind.EXHAUSTIVE, "no more") if few else (PairKind.RETRIEVAL, "more")
        logger.info("--pairs %s, as there are %s than %d images", kind, than, EXHAUSTIVE_LIMIT)
        return self.of_kind(kind)

    def _exhaustive(self) -> np.ndarray:
        return exhaustive(self.image_ids)

    def _retrieval(self) -> np.ndarray:
        return retrieval(self.image_ids, self._descriptors(), self._options.num_neighbours)

    def _sequential(self) -> np.ndarray:
        sequences, options = self._sequences(), self._options
        pairs = union(*(sequential(self.image_ids[members], options.overlap) for members in sequences))
        order = np.concatenate(sequences)
        in_order = self.image_ids[order]
        if options.loop_candidates and (len(sequences) > 1 or options.overlap < len(order) - 1):
            candidates = loop_candidates(in_order, self._descriptors()[order], options.overlap, options.loop_candidates)
            pairs = union(pairs, candidates)
        return pairs

    def _sequences(self) -> list[np.ndarray]:
        """Indices of the images of each folder, in the natural order of their names; folders likewise."""
        sequences = {}
        for index in sorted(range(len(self._names)), key=lambda index: natural_order(self._names[index])):
            sequences.setdefault(PurePosixPath(self._names[index]).parent, []).append(index)
        shown = [self._names[index] for index in next(iter(sequences.values()))]
        shown = [*shown[:2], "...", shown[-1]] if len(shown) > 3 else shown
        logger.info(
            "%s, one a folder, in the order of numbers in names: %s",
            counted(len(sequences), "sequence"),
            ", ".join(shown),
        )
        return [np.array(members) for members in sequences.values()]

    def _spatial(self) -> np.ndarray:
        options = self._options
        positions = positions_m(self._store.pose_priors(), options.use_altitude)
        known = np.isin(self.image_ids, list(positions))
        if not known.any():
            raise RuntimeError(f"{self._store.path} has no GPS position of any image: choose --pairs retrieval")
        ids = self.image_ids[known]
        pairs = spatial(
            ids, np.array([positions[i] for i in ids.tolist()]), options.num_neighbours, options.max_distance_m
        )
        return self._with_others(pairs, known, "no GPS position of")

    def _covisibility(self) -> np.ndarray:
        known, images = self._images_of_model()
        if not self._model.num_points3D():
            raise RuntimeError(f"{self._options.model} has no points that images could share: choose --pairs poses")
        pairs = covisible(self.image_ids[known], images, self._options.num_neighbours)
        return self._with_others(pairs, known, f"{self._options.model} lacks")

    def _poses(self) -> np.ndarray:
        known, images = self._images_of_model()
        pairs = by_poses(self.image_ids[known], images, self._options.num_neighbours, self._options.max_angle_deg)
        return self._with_others(pairs, known, f"{self._options.model} lacks")

    def _images_of_model(self) -> tuple[np.ndarray, list]:
        """Which images the model has with poses, [N] bool, and its records of these in their order."""
        self._model = model = read_model(self._options.model)  # kept: its records are part of it
        images = {image.name: image for image in posed_images(model)}
        known = np.array([name in images for name in self._names])
        if not known.any():
            raise RuntimeError(
                f"{self._options.model} has none of the {counted(len(known), 'image')} of {self._store.path}"
            )
        return known, [images[name] for name in self._names if name in images]

    def _with_others(self, pairs: np.ndarray, known: np.ndarray, lack: str) -> np.ndarray:
        """The pairs, and those of the images that they leave out because of what these lack."""
        others = [name for name, is_known in zip(self._names, known, strict=True) if not is_known]
        if not others:
            return pairs
        number = self._options.num_neighbours
        logger.warning(
            "%s %s: each is paired with the %d that look most like it", lack, first_of(others, "image"), number
        )
        return union(pairs, retrieval(self.image_ids, self._descriptors(), number, queries=~known))

    def _descriptors(self) -> np.ndarray:
        """A global descriptor of each image, [N, D]."""
        if self._options.global_descriptors is not None:
            return read_global_descriptors(self._options.global_descriptors, self._names)
        return self._describe(self._store, self.image_ids.tolist())


def _with_features(store: PairImages, image_ids: Collection[int]) -> np.ndarray:
    """Those of the images that have features, ascending. RuntimeError if fewer than two have."""
    usable = [image_id for image_id in sorted(image_ids) if store.has_features(image_id)]
    missing = sorted(set(image_ids) - set(usable))
    if len(usable) < 2:
        raise RuntimeError(
            f"{store.path} has no features of {len(missing)} of {counted(len(image_ids), 'image')}: "
            f"run d2sfm extract --database {store.path} --images FOLDER first"
        )
    if missing:
        names = store.image_names()
        logger.warning("left out without features: %s", first_of([names[image_id] for image_id in missing], "image"))
    return np.array(usable, np.uint32)
